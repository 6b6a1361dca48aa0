"""Weights of the nearest step that hurts nobody: optimal on every family of matrices, bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from gram_families import FAMILIES, family_gram
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels.cone import cone_weights, cone_weights_definition

SETTINGS = settings(max_examples=200)
FAMILY, SEED = st.sampled_from(sorted(FAMILIES)), st.integers(0, 9999)


def lower_bounds(n: int, seed: int) -> np.ndarray:
    """Unit vectors, the mean, and preferences of which some are zero."""
    rng = np.random.default_rng(seed)
    some = rng.random((2, n)) * (rng.random((2, n)) < 0.7)
    return np.vstack([np.eye(n) / n, np.full(n, 1 / n), some])


def miss(gram: np.ndarray, lower: np.ndarray, weights: np.ndarray) -> float:
    """Largest miss of the conditions of an optimum: v >= u, G v >= 0, G v = 0 where v > u."""
    gram = gram / (gram.diagonal().max() or 1.0)
    worst = 0.0
    for u, v in zip(lower, weights, strict=True):
        slope = gram @ v / (np.sqrt(gram.diagonal()).max() * (v @ np.sqrt(gram.diagonal())) or 1.0)
        worst = max(worst, (u - v).max(), -slope.min(), np.abs(slope[v > u]).max(initial=0))
    return worst


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 33, 64])
def test_weights_are_optimal(name, n):
    for seed in range(6 if n < 30 else 1):
        gram, lower = family_gram(name, n, seed), lower_bounds(n, seed)
        assert miss(gram, lower, cone_weights(gram, lower)) < 1e-9


@SETTINGS
@given(FAMILY, st.integers(1, 12), SEED)
def test_the_definition_reaches_the_same_step(name, n, seed):
    if name in ("unequal lengths", "very unequal lengths"):  # beyond what an eigen-decomposition can see
        name = "normal"
    gram, lower = family_gram(name, n, seed), lower_bounds(n, seed)
    for one, two in zip(cone_weights(gram, lower), cone_weights_definition(gram, lower), strict=True):
        apart = one - two
        assert apart @ gram @ apart <= 1e-12 * gram.diagonal().max() * max(one.max(), 1) ** 2


@SETTINGS
@given(FAMILY, st.integers(1, 5), SEED)
def test_no_other_set_of_rows_is_better(name, n, seed):
    gram = family_gram(name, n, seed)
    gram, u = gram / (gram.diagonal().max() or 1.0), lower_bounds(n, seed)[-1]
    found = cone_weights(gram, u[None])[0]
    best = np.inf
    for count in range(n + 1):
        for rows in map(list, itertools.combinations(range(n), count)):
            v = u.copy()
            v[rows] += np.linalg.lstsq(gram[np.ix_(rows, rows)], -gram[rows] @ u, rcond=1e-12)[0]
            if (v >= u - 1e-12).all():
                best = min(best, v @ gram @ v)
    assert found @ gram @ found <= best + 1e-11 * max(found.sum(), 1) ** 2


def test_what_it_does_not_depend_on():
    gram, lower = family_gram("normal", 8, 1), lower_bounds(8, 1)
    weights = cone_weights(gram, lower)
    np.testing.assert_array_equal(cone_weights(4 * gram, lower), weights)
    np.testing.assert_allclose(cone_weights(gram, 3 * lower), 3 * weights, rtol=1e-9)
    for k, u in enumerate(lower):
        np.testing.assert_array_equal(cone_weights(gram, u[None])[0], weights[k])
    order = np.random.default_rng(0).permutation(8)
    turned = cone_weights(gram[np.ix_(order, order)], lower[:, order])
    np.testing.assert_allclose(turned, weights[:, order], rtol=1e-8, atol=1e-12)


def test_a_row_of_zeros_makes_no_difference_to_others_of_any_length():
    rows = np.random.default_rng(0).normal(size=(4, 3)) * np.array([[1.0], [0.0], [1.0], [1.0]])
    rows[2] = 0.1 * rows[2] - rows[0]
    gram, lower = rows @ rows.T, np.eye(4) + 0.25
    weights = cone_weights(gram, lower)
    assert (weights[0] > lower[0]).any()
    for power in (-20, -40, -60):
        factors = 2.0 ** np.array([power, power, 0, power])
        scaled = cone_weights(gram * np.outer(factors, factors), lower / factors)
        np.testing.assert_allclose(scaled * factors, weights, rtol=1e-10)


def test_sums_in_float32_are_accepted():
    rows = np.random.default_rng(0).normal(size=(6, 100)).astype(np.float32)
    rows[5] = rows[4]
    gram = rows @ rows.T
    weights = cone_weights(gram, np.eye(6, dtype=np.float32))
    assert weights.dtype == np.float64
    assert miss(gram.astype(np.float64), np.eye(6), weights) < 1e-5


def test_tensors_give_tensors_and_arguments_stay_as_they_are():
    gram, lower = torch.tensor([[18.0, -22.0], [-22.0, 38.0]]), torch.eye(2, dtype=torch.float64) / 2
    found = cone_weights(gram, lower)
    torch.testing.assert_close(found.sum(0), torch.tensor([10 / 9, 15 / 19], dtype=torch.float64))
    assert gram[0, 1] == -22 and lower[0, 0] == 0.5


def test_nothing_to_do():
    assert cone_weights(np.eye(3), np.zeros((0, 3))).shape == (0, 3)
    assert cone_weights(np.zeros((0, 0)), np.zeros((0, 0))).shape == (0, 0)
    np.testing.assert_array_equal(cone_weights(np.zeros((2, 2)), np.eye(2)), np.eye(2))
    np.testing.assert_array_equal(cone_weights(np.eye(2) - 0.5, np.zeros((1, 2))), 0)


@pytest.mark.parametrize(
    ("gram", "lower", "error", "message"),
    [
        (np.ones((2, 3)), np.eye(2), ValueError, "`gram` should be \\[n, n\\]. Found \\[2, 3\\]"),
        (np.eye(2), np.ones(2), ValueError, "`lower` should be \\[k, 2\\]"),
        (np.eye(2), np.ones((1, 3)), ValueError, "`lower` should be \\[k, 2\\]"),
        (np.eye(2), -np.eye(2), ValueError, "`lower` should be finite and not negative. Found -1"),
        (np.eye(2), np.full((1, 2), np.nan), ValueError, "`lower` should be finite"),
        (np.full((2, 2), np.inf), np.eye(2), ValueError, "`gram` should be finite"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), np.eye(2), ValueError, "`gram` should be symmetric"),
        (np.diag((1.0, -1.0)), np.eye(2), ValueError, "positive semi-definite"),
        (np.array([[1.0, -2.0], [-2.0, 1.0]]), np.eye(2), ValueError, "semi-definite"),
        (np.eye(2, dtype=int), np.eye(2), TypeError, "`gram` should be float32 or float64"),
    ],
)
def test_bad_input_is_refused(gram, lower, error, message):
    with pytest.raises(error, match=message):
        cone_weights(gram, lower)
