"""Elastic descent: without a floor every loss falls, each as its factor says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from combiner_cases import step, steps
from gram_families import FAMILIES, family_gram, residual
from pydantic import ValidationError

from mpidcl.errors import ExperimentError
from mpidcl.learning.combiners import make

MODES = ("ones", "norm", "ema_norm", "softmax_ema", "loss", "gmc", "gs")
PAIR = np.array([[18.0, -22.0], [-22.0, 38.0]])
HURT = np.array([[1.0, 0.1], [-10.0, 0.1]])  # rows that lose common descent under a floor of 1/3


def answer(gradients, **options):
    """Weights, factors and direction in terms of the Gram matrix: (l, sigma, G l); no floor unless asked."""
    combiner = make("elastic", **({"floor": False, "safe": True} | options))
    weights = combiner.weights(gradients)
    return weights, combiner.sigma, gradients.gram @ weights


@pytest.mark.parametrize("mode", MODES)
def test_no_loss_increases_and_each_falls_as_its_factor_says(mode):
    # 10,003 cases over all modes: <g_i, d> >= sigma_i ||d||^2, with equality where the weight is not 0.
    for gradients in steps(1429, seed=MODES.index(mode)):
        gram = gradients.gram / (gradients.gram.diagonal().max() or 1.0)
        weights, sigma, slope = answer(step(gram, losses=gradients.losses), sigma=mode)
        squared = weights @ slope
        size = np.sqrt(gram.diagonal()) * (weights @ np.sqrt(gram.diagonal()))
        slack = slope - sigma * squared
        assert (weights >= 0).all() and abs(sigma.sum() - 1) < 1e-12
        assert (slack >= -1e-9 * np.maximum(size, 1e-3)).all(), (gradients.step, slack, size)
        if gram.any():
            assert (weights[sigma == 0] == 0).all()
            assert abs(sigma @ weights - 1) < 1e-9
            assert (np.abs(slack)[weights > 0] <= 1e-9 * np.maximum(size, 1e-3)[weights > 0]).all()


@pytest.mark.parametrize("mode", MODES)
def test_no_other_set_of_active_tasks_gives_a_shorter_step(mode):
    for seed, n in itertools.product(range(12), (2, 3, 4, 5)):
        gram = family_gram("normal", n, seed)
        weights, sigma, slope = answer(step(gram), sigma=mode)
        shortest = np.inf
        for count in range(1, n + 1):
            for rows in map(list, itertools.combinations(range(n), count)):
                inner = np.linalg.lstsq(gram[np.ix_(rows, rows)], sigma[rows], rcond=1e-12)[0]
                inner = inner / (sigma[rows] @ inner)
                if (inner >= 0).all():
                    shortest = min(shortest, inner @ gram[np.ix_(rows, rows)] @ inner)
        assert weights @ slope == pytest.approx(shortest, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_factors_of_one_are_mgda_but_for_gradients_of_zeros(name):
    for seed in range(10):
        gram = family_gram(name, 6, seed)
        weights, _, slope = answer(step(gram), sigma="ones")
        rows = np.flatnonzero(gram.diagonal())
        if len(rows):
            inner = make("mgda").weights(step(gram[np.ix_(rows, rows)]))
            assert residual(gram[np.ix_(rows, rows)], np.ones(len(rows)), inner) < 1e-9
            np.testing.assert_allclose(weights[rows] / len(rows), inner, rtol=1e-9, atol=1e-12)
            assert (weights[gram.diagonal() == 0] == 0).all()


def test_two_tasks_have_the_closed_form():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rows, sigma = rng.normal(size=(2, 3)), rng.dirichlet((1, 1))
        gram = rows @ rows.T
        (a, b), (_, c) = gram
        one, two = sigma
        bottom = one**2 * c - 2 * one * two * b + two**2 * a
        wanted = np.array([one * c - two * b, two * a - one * b]) / bottom
        if wanted.min() < 0:
            wanted = np.array([0, 1 / two]) if wanted[0] < 0 else np.array([1 / one, 0])
        found, factors, _ = answer(step(gram, losses=sigma), sigma="loss")
        np.testing.assert_allclose(factors, sigma, rtol=1e-12)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "sigma"),
    [
        ("ones", (1, 1)),
        ("norm", (18**0.5, 38**0.5)),
        ("ema_norm", (18**0.5, 38**0.5)),
        ("softmax_ema", np.exp((18**0.5 / 5, 38**0.5 / 5))),
        ("loss", (0.5, 2.0)),
        ("gmc", (1, 1)),
        ("gs", (1, 1)),
    ],
)
def test_factors_of_a_first_step(mode, sigma):
    for power in (1.0, -1.0, 0.5):
        found = answer(step(PAIR), sigma=mode, sigma_power=power)[1]
        wanted = np.array(sigma) ** power
        np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-12)


def test_factors_by_cosine():
    gram = family_gram("agreeing", 4, 3)
    cosines = gram / np.sqrt(np.outer(gram.diagonal(), gram.diagonal()))
    wanted = np.exp((cosines.sum(1) - 1) / 3 / 0.7)
    np.testing.assert_allclose(answer(step(gram), sigma="gs", tau=0.7)[1], wanted / wanted.sum(), rtol=1e-12)


def test_lengths_are_remembered_per_task_also_while_it_is_away():
    combiner = make("elastic", sigma="ema_norm", ema=0.8)
    for tasks, lengths, means in [
        ((0, 1), (2, 3), (2, 3)),
        ((-1, 1), (5, 8), (5, 0.8 * 3 + 0.2 * 8)),
        ((-1, 0, 1), (5, 12, 4), (5, 0.8 * 2 + 0.2 * 12, 0.8 * 4 + 0.2 * 4)),
    ]:
        combiner.weights(step(np.diag(np.square(lengths)), tasks=tasks))
        np.testing.assert_allclose(combiner.sigma, np.array(means) / np.sum(means), rtol=1e-12)


def test_own_past_compares_with_the_mean_before_this_step():
    combiner = make("elastic", sigma="gmc", ema=0.5, tau=1.0)
    combiner.weights(step(np.diag((1.0, 4.0))))
    combiner.weights(step(np.diag((9.0, 4.0))))
    np.testing.assert_allclose(combiner.sigma, np.exp((3, 1)) / np.exp((3, 1)).sum(), rtol=1e-12)
    combiner.weights(step(np.diag((16.0, 4.0))))  # the mean of 1 and 3 is 2
    np.testing.assert_allclose(combiner.sigma, np.exp((2, 1)) / np.exp((2, 1)).sum(), rtol=1e-12)


def test_mean1_divides_the_weights_by_the_number_of_gradients():
    for gradients in steps(60):
        for floor in (False, "released"):
            one, sigma, _ = answer(gradients, floor=floor)
            mean, larger, _ = answer(gradients, floor=floor, sigma_norm="mean1")
            np.testing.assert_allclose(mean, one / len(gradients), rtol=1e-12)
            np.testing.assert_allclose(larger, sigma * len(gradients), rtol=1e-12)


def test_a_floor_costs_common_descent_unless_it_is_safe():
    gram = HURT @ HURT.T
    free, _, _ = answer(step(gram), sigma="ones")
    np.testing.assert_allclose(gram @ free, (0.02, 0.02), rtol=1e-9)
    floored, _, slope = answer(step(gram), sigma="ones", floor="released", safe=False)
    np.testing.assert_allclose(floored, (5 / 3, 1 / 3), rtol=1e-9)
    assert slope[0] == pytest.approx(-1.6467, abs=1e-4)
    np.testing.assert_array_equal(answer(step(gram), sigma="ones", floor="released")[0], free)


def test_the_default_is_the_rule_of_the_public_code():
    """A floor of 1 / (n + 1) under every weight, also where it costs common descent."""
    options = make("elastic").options
    assert (options.floor, options.safe) == ("released", False)
    for gradients in steps(200, seed=21):
        asked = gradients.norms > 0
        if asked.all():
            weights = make("elastic").weights(gradients)
            assert weights.min() >= (1 - 1e-12) / (len(gradients) + 1)
            given = answer(gradients, floor="released", safe=False)[0]
            np.testing.assert_array_equal(weights, given)


def test_a_floor_keeps_a_tiny_gradient_from_taking_all_of_the_weight():
    """As that of a memorised memory: without a floor weights go like 1 / length^2 and d all but vanishes."""
    gram = np.diag((0.003**2, 2.5**2))
    free, _, slope = answer(step(gram))
    assert free[0] / free.sum() > 0.999 and free @ slope < 1e-4
    floored, _, slope = answer(step(gram), floor="released", safe=False)
    assert floored[1] == pytest.approx(1 / 3) and (floored @ slope) ** 0.5 == pytest.approx(2.5 / 3, rel=1e-3)


def test_floors_hold_where_they_cost_nothing():
    gram = np.diag((1.0, 100.0, 9.0)) + 0.1
    assert answer(step(gram), sigma="ones")[0].min() < 0.1
    for floor, least in ((True, 0.25), ("released", 0.25), (0.1, 0.1), (1.0, 1.0)):
        weights, sigma, _ = answer(step(gram), sigma="ones", floor=floor)
        assert weights.min() == pytest.approx(least, rel=1e-12) and sigma @ weights == pytest.approx(1)


@pytest.mark.parametrize("mode", MODES)
def test_safe_steps_hurt_nobody_on_any_family(mode):
    for gradients in steps(240, seed=20):
        weights, _, slope = answer(gradients, sigma=mode, floor=True)
        size = gradients.norms * (weights @ gradients.norms)
        assert (slope >= -1e-9 * size).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_gradient_of_zeros_does_not_stop_the_others(mode):
    gram = np.diag((0.0, 4.0, 1.0))
    for power in (1.0, 0.0, -1.0):
        weights, sigma, _ = answer(step(gram, losses=(0, 1, 2)), sigma=mode, sigma_power=power)
        assert weights[0] == 0 and sigma[0] == 0
        assert weights[1:].min() > 0 and sigma.sum() == pytest.approx(1)


def test_gradients_that_are_all_zero_have_equal_weights():
    weights, sigma, _ = answer(step(np.zeros((4, 4))))
    np.testing.assert_allclose(sigma, 0.25)
    np.testing.assert_allclose(weights, 1)


def test_tasks_of_the_same_gradient_share_its_weight():
    rows = np.array([[1.0, 2.0], [1.0, 2.0], [-1.0, 1.0]])
    weights, _, slope = answer(step(rows @ rows.T), sigma="ones")
    single, _, alone = answer(step(rows[1:] @ rows[1:].T), sigma="ones")
    np.testing.assert_allclose(slope[1:] / 3, alone / 2, rtol=1e-9)  # over the sizes of 1 / sigma
    assert weights[:2].sum() / 3 == pytest.approx(single[0] / 2)


def test_opposed_gradients_stop():
    weights, _, slope = answer(step([[1.0, -1.0], [-1.0, 1.0]]), sigma="ones")
    np.testing.assert_allclose(weights, (1, 1))
    np.testing.assert_allclose(slope, 0, atol=1e-12)


def test_lengths_far_apart_keep_factors_positive():
    weights, sigma, _ = answer(step(np.diag((1.0, 1e12))))
    assert (sigma > 0).all() and np.isfinite(weights).all() and weights[1] > 0


def test_losses_of_zero_are_slowest():
    for power, first in ((1.0, 1), (-1.0, 0)):
        _, sigma, slope = answer(step(PAIR, losses=(0.0, 0.5)), sigma="loss", sigma_power=power)
        assert sigma[first] == pytest.approx(1) and sigma.min() > 0 and slope.min() > -1e-9
    np.testing.assert_allclose(answer(step(PAIR, losses=(0, 0)), sigma="loss")[1], 0.5)


@pytest.mark.parametrize("losses", [(0.5, -1.0), (0.5, np.nan), (0.5, np.inf)])
def test_losses_that_cannot_be_factors_are_named(losses):
    with pytest.raises(ExperimentError, match=r"(not negative\. Found .*|Found none) for task 7 at step 3"):
        answer(step(PAIR, losses=losses, tasks=(-1, 7), number=3), sigma="loss")
    with pytest.raises(ExperimentError, match="for the memory"):
        answer(step(PAIR, losses=losses[::-1], tasks=(-1, 7)), sigma="loss")


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": "cosine"},
        {"tau": 0},
        {"ema": 1.0},
        {"floor": -0.1},
        {"floor": 1.5},
        {"floor": "low"},
        {"sigma_norm": "max1"},
        {"sigma_power": float("inf")},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValidationError):
        make("elastic", **options)
