"""Published directions of every combiner, for the rows (-4, 1, 1) and (6, 1, 1)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mpidcl.learning.combiners import Gradients, combine, make

ROWS = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])

# Printed by the documentation of TorchJD.
PRINTED = {
    "mean": (1, 1, 1),
    "sum": (2, 2, 2),
    "mgda": (0, 1, 1),
    "pcgrad": (0.5848, 3.8012, 3.8012),
}
# Exact, by hand.
EXACT = {
    "mgda": (0.6, 0.4),
    "upgrad": (10 / 9, 15 / 19),
    "dualproj": (11 / 18, 0.5),
    "pcgrad": (20 / 9, 30 / 19),
    "norm_grad": (18**-0.5, 38**-0.5),
}
ELASTIC = {
    (0.5, 0.5): ((1.2, 0.8), (0, 2, 2)),
    (0.25, 0.75): ((1.253012, 0.915663), (0.481928, 2.168675, 2.168675)),
    (0.75, 0.25): ((1.105691, 0.682927), (-0.325203, 1.788618, 1.788618)),
}


@pytest.mark.parametrize("kind", PRINTED)
def test_direction_is_the_published_one(kind):
    np.testing.assert_allclose(combine(ROWS, kind), PRINTED[kind], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "printed"), [("dualproj", (0.5563, 1.1109, 1.1109)), ("upgrad", (0.2929, 1.9004, 1.9004))]
)
def test_direction_is_the_published_one_of_the_regularised_matrix(kind, printed):
    # TorchJD divides G by its trace and adds 1e-4 to the diagonal; ours is the solution without.
    gram = ROWS @ ROWS.T
    gram = gram / gram.trace() + 1e-4 * np.eye(2)
    gradients = Gradients(0, (0, 1), gram, np.ones(2), np.random.default_rng(0))
    np.testing.assert_allclose(make(kind).weights(gradients) @ ROWS, printed, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", EXACT)
def test_direction_is_exact(kind):
    np.testing.assert_allclose(combine(ROWS, kind), EXACT[kind] @ ROWS, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sigma", ELASTIC)
def test_elastic_direction_of_given_factors(sigma):
    weights, direction = ELASTIC[sigma]
    np.testing.assert_allclose(combine(ROWS, "elastic", sigma="loss", losses=sigma), direction, atol=1e-6)
    np.testing.assert_allclose(weights @ ROWS, direction, atol=2e-6)


def test_elastic_direction_with_the_defaults():
    np.testing.assert_allclose(combine(ROWS, "elastic"), (0.163592, 2.072479, 2.072479), atol=1e-6)


def test_tensors_give_tensors():
    found = combine(torch.from_numpy(ROWS).float(), "mgda")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 1.0]))
