"""What every combiner must do, whatever its rule."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
from combiner_cases import DRAWN, KINDS, WEIGHTED, decreases, step, steps
from gram_families import family_gram

from mpidcl.experiment.kinds import options_type, resolve
from mpidcl.learning.combiners import Combiner, make

# d is the same for any order of the rows; the first row is the memory's, which some treat unlike the others.
ORDERLESS = sorted({*WEIGHTED} - DRAWN - {"er", "agem", "mega"})
SCALE_FREE = (
    "mgda",
    "elastic",
    "cagrad",
    "upgrad",
    "dualproj",
    "imtl_g",
    "agem",
    "pcgrad",
    "gradvac",
    "mean",
)
HURTS_NOBODY = ("mgda", "upgrad", "dualproj", "nash_mtl")


@pytest.mark.parametrize("kind", KINDS)
def test_class_is_documented_and_named_as_its_kind(kind):
    found = resolve("combiner", kind)
    assert issubclass(found, Combiner) and found.name == kind
    assert len(inspect.getdoc(found)) > 40
    for field in options_type("combiner", kind).model_fields.values():
        assert field.description


@pytest.mark.parametrize("kind", WEIGHTED)
def test_weights_are_finite_on_every_family(kind):
    for gradients in steps(360):
        weights = make(kind).weights(gradients)
        assert weights.shape == (len(gradients),) and weights.dtype == np.float64
        assert np.isfinite(weights).all(), (gradients.step, weights)


@pytest.mark.parametrize("kind", ORDERLESS)
def test_order_of_the_rows_does_not_matter(kind):
    for gradients in steps(120, seed=1):
        order = np.random.default_rng(gradients.step).permutation(len(gradients))
        turned = step(
            gradients.gram[np.ix_(order, order)],
            losses=gradients.losses[order],
            tasks=[gradients.tasks[i] for i in order],
        )
        weights, again = make(kind).weights(gradients), make(kind).weights(turned)
        apart = weights[order] - again  # weights need not be unique, the direction is
        size = (np.abs(weights) @ gradients.norms) ** 2
        assert apart @ turned.gram @ apart <= 1e-11 * size + (1e-14 * gradients.norms.max()) ** 2, (
            gradients.step,
            weights,
            again,
        )


@pytest.mark.parametrize("kind", SCALE_FREE)
def test_longer_gradients_in_the_same_proportions_have_the_same_weights(kind):
    options = {"sigma": "ema_norm"} if kind == "elastic" else {}
    for gradients in steps(60, seed=2):
        weights = make(kind, **options).weights(gradients)
        for factor in (1e-12, 4.0, 1e12):
            scaled = step(gradients.gram * factor, seed=gradients.step, losses=gradients.losses)
            again = make(kind, **options).weights(scaled)
            apart = weights - again
            size = (np.abs(weights) @ gradients.norms) ** 2
            assert apart @ gradients.gram @ apart <= 1e-11 * size + (1e-14 * gradients.norms.max()) ** 2


@pytest.mark.parametrize("kind", HURTS_NOBODY)
def test_no_loss_increases(kind):
    for gradients in steps(2500, seed=3):
        assert decreases(gradients, make(kind).weights(gradients)).min() > -1e-9, gradients.step


@pytest.mark.parametrize("kind", WEIGHTED)
def test_gradients_of_zeros_give_no_step_and_no_error(kind):
    for n in (2, 5):
        assert np.isfinite(make(kind).weights(step(np.zeros((n, n)), losses=np.zeros(n)))).all()


@pytest.mark.parametrize("kind", WEIGHTED)
def test_a_gradient_of_zeros_among_others_is_no_error(kind):
    gram = family_gram("normal", 4, 5)
    for i in range(4):
        kept = np.arange(4) != i
        hollow = gram * np.outer(kept, kept)
        assert np.isfinite(make(kind).weights(step(hollow, losses=kept * 1.0))).all()


def lives(kind, gradients):
    """Weights of a combiner over the steps, and of one that was stopped and resumed half-way."""
    through, first, second = make(kind), make(kind), make(kind)
    whole, parts = [], []
    for number, (one, two) in enumerate(zip(gradients(), gradients(), strict=True)):
        if number == 10:
            second.load(first.state())
        whole.append(through.weights(one))
        parts.append((first if number < 10 else second).weights(two))
    return whole, parts


@pytest.mark.parametrize("kind", WEIGHTED)
def test_a_resumed_combiner_goes_on_as_if_never_stopped(kind):
    whole, parts = lives(kind, lambda: steps(20, seed=4))
    for one, two in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", ["elastic", "gradvac", "gradnorm", "dwa", "uw", "famo"])
def test_that_state_matters(kind):
    options = {"rate": 0.3} if kind == "gradnorm" else {}
    used = make(kind, **options)
    for gradients in steps(30, seed=5):
        used.weights(gradients)
    fresh = make(kind, **options).weights(step(family_gram("normal", 6, 0)))
    again = used.weights(step(family_gram("normal", 6, 0)))
    assert not np.allclose(fresh, again, rtol=1e-6)


@pytest.mark.parametrize("kind", WEIGHTED)
def test_what_was_given_is_left_alone(kind):
    gradients = step(family_gram("normal", 5, 0))
    gram, losses = gradients.gram.copy(), gradients.losses.copy()
    make(kind).weights(gradients)
    np.testing.assert_array_equal(gradients.gram, gram)
    np.testing.assert_array_equal(gradients.losses, losses)


WARM = """
import numpy as np
from mpidcl.learning.combiners import Gradients, make
from mpidcl_kernels.base.cache import counts
from mpidcl_kernels.base.warm import warm_up

for kind in {kinds}:
    combiner = make(kind)
    warm_up(*combiner.kernels)
    before = sum(counts())
    combiner.weights(Gradients(0, (-1, 0), np.eye(2), np.ones(2), np.random.default_rng(0)))
    assert sum(counts()) == before, kind
assert before > 0
"""


def test_every_kind_says_what_it_calls_that_is_compiled():
    # Those without kernels first: what one has warmed must not help the others.
    order = sorted(WEIGHTED, key=lambda kind: len(resolve("combiner", kind).kernels))
    subprocess.run([sys.executable, "-c", WARM.format(kinds=order)], check=True)


@pytest.mark.usefixtures("untouched_global_generators")
@pytest.mark.parametrize("kind", WEIGHTED)
def test_agents_that_know_the_same_answer_alike(kind):
    for one, two in zip(steps(10, seed=7), steps(10, seed=7), strict=True):
        np.testing.assert_array_equal(make(kind).weights(one), make(kind).weights(two))
