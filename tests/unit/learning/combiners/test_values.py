"""Published directions of every combiner, for the rows (-4, 1, 1) and (6, 1, 1)."""

from __future__ import annotations

import numpy as np
import pytest
from combiner_cases import KINDS

from mpidcl.learning.combiners import Gradients, combine, make

ROWS = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])

# Printed by the documentation of TorchJD.
PRINTED = {
    "mean": (1, 1, 1),
    "sum": (2, 2, 2),
    "mgda": (0, 1, 1),
    "pcgrad": (0.5848, 3.8012, 3.8012),
    "gradvac": (0.5848, 3.8012, 3.8012),  # whose first step is that of PCGrad
    "cagrad": (0.1835, 1.2041, 1.2041),
    "imtl_g": (0.0767, 1, 1),
    "aligned_mtl": (0.2133, 0.9673, 0.9673),
    "nash_mtl": (0.0542, 0.7061, 0.7061),
    "config": (0.1588, 2.0706, 2.0706),
}
# By hand, with losses 1 and 2, the first row the memory's where that matters.
BY_HAND = {
    "mgda": (0.6, 0.4),
    "upgrad": (10 / 9, 15 / 19),
    "dualproj": (11 / 18, 0.5),
    "pcgrad": (20 / 9, 30 / 19),
    "norm_grad": (18**-0.5, 38**-0.5),
    "er": (0.5, 0.5),
    "agem": (22 / 18, 1),
    "mega": (0.5, 1),
    "dwa": (1, 1),
    "uw": (0.5, 0.5),
    "famo": (2 / 3, 1 / 3),
    "maxdo": (1.6 / 3, 1.4 / 3),
    "gradnorm": (2 * 18**-0.5 / (18**-0.5 + 38**-0.5), 2 * 38**-0.5 / (18**-0.5 + 38**-0.5)),
}
TOLERANCE = {"famo": 1e-7}  # which adds 1e-8 to losses
DRAWN = {"rlw", "graddrop"}
WITH_FACTORS = {
    (0.5, 0.5): (0, 2, 2),
    (0.25, 0.75): (0.481928, 2.168675, 2.168675),
    (0.75, 0.25): (-0.325203, 1.788618, 1.788618),
}


def test_every_kind_has_a_value():
    assert {*PRINTED, *BY_HAND, *DRAWN, "elastic"} == {*KINDS}


@pytest.mark.parametrize("kind", PRINTED)
def test_direction_is_the_published_one(kind):
    np.testing.assert_allclose(combine(ROWS, kind), PRINTED[kind], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", BY_HAND)
def test_direction_is_the_one_by_hand(kind):
    found = combine(ROWS, kind, losses=(1, 2), tasks=(-1, 3))
    np.testing.assert_allclose(found, BY_HAND[kind] @ ROWS, rtol=0, atol=TOLERANCE.get(kind, 1e-12))


@pytest.mark.parametrize(
    ("kind", "printed"), [("dualproj", (0.5563, 1.1109, 1.1109)), ("upgrad", (0.2929, 1.9004, 1.9004))]
)
def test_direction_is_the_published_one_of_the_regularised_matrix(kind, printed):
    # TorchJD divides G by its trace and adds 1e-4 to the diagonal; ours is the solution without.
    gram = ROWS @ ROWS.T
    gram = gram / gram.trace() + 1e-4 * np.eye(2)
    gradients = Gradients(0, (0, 1), gram, np.ones(2), np.random.default_rng(0))
    np.testing.assert_allclose(make(kind).weights(gradients) @ ROWS, printed, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sigma", WITH_FACTORS)
def test_elastic_direction_with_given_factors(sigma):
    found = combine(ROWS, "elastic", sigma="loss", losses=sigma)
    np.testing.assert_allclose(found, WITH_FACTORS[sigma], rtol=0, atol=1e-6)


def test_elastic_direction_with_the_defaults():
    np.testing.assert_allclose(combine(ROWS, "elastic"), (0.163592, 2.072479, 2.072479), atol=1e-6)


def test_gradvac_with_a_target_is_the_published_one():
    np.testing.assert_allclose(
        combine(ROWS, "gradvac", target=0.5), (0.0596, 4.4696, 4.4696), rtol=0, atol=1e-4
    )


def test_cagrad_divided_as_in_libmtl():
    plain = combine(ROWS, "cagrad", c=0.5)
    np.testing.assert_allclose(combine(ROWS, "cagrad", c=0.5, rescale="1+c^2"), plain / 1.25, rtol=1e-12)
    np.testing.assert_allclose(combine(ROWS, "cagrad", c=0.5, rescale="1+c"), plain / 1.5, rtol=1e-12)
