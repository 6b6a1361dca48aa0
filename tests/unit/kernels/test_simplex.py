"""Weights of gradients: optimal on every family of matrices, what they do not depend on, published values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gram_families import FAMILIES, family_gram, residual
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpidcl_kernels.simplex import elastic_weights, elastic_weights_definition, min_norm_weights

SETTINGS = settings(max_examples=200)
FAMILY, SEED = st.sampled_from(sorted(FAMILIES)), st.integers(0, 9999)
TWO_ROWS = np.array([[18.0, -22.0], [-22.0, 38.0]])  # of (-4, 1, 1) and (6, 1, 1)
UNSAFE = np.array([[1.0, 0.1], [-10.0, 0.1]])


def factors(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1, n) if seed % 2 else np.ones(n)


def problem(name: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return family_gram(name, n, seed), factors(n, seed)


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 33, 64, 128, 256])
def test_weights_are_optimal(name, n):
    for seed in range(6 if n < 100 else 2):
        gram, sigma = problem(name, n, seed)
        assert residual(gram, sigma, elastic_weights(gram, sigma)) < 1e-9


@SETTINGS
@given(FAMILY, st.integers(1, 30), SEED, st.floats(0, 1) | st.floats(0, 12).map(lambda x: 1 - 10**-x))
def test_weights_above_a_floor_are_optimal(name, n, seed, share):
    gram, sigma = problem(name, n, seed)
    floor = share / sigma.sum()
    weights = elastic_weights(gram, sigma, floor, safe=False)
    assert residual(gram, sigma, weights, floor) < 1e-9
    np.testing.assert_array_equal(weights, elastic_weights(gram, sigma, np.full(n, floor), safe=False))


@SETTINGS
@example("zero rows", 4, 0, 0.001953125)  # slopes of zero but for rounding
@example("nearly duplicate rows", 8, 1395, 0.8125)
@given(FAMILY, st.integers(1, 12), SEED, st.floats(0, 0.99))
def test_the_definition_reaches_the_same_step(name, n, seed, share):
    if name in ("unequal lengths", "very unequal lengths"):  # beyond what an eigen-decomposition can see
        name = "normal"
    gram, sigma = problem(name, n, seed)
    floors = np.random.default_rng(seed).dirichlet(np.ones(n)) * share / sigma
    for floor in (np.zeros(n), floors):
        weights = elastic_weights_definition(gram, sigma, floor, safe=False)
        sizes = np.sqrt(gram.diagonal().clip(0))
        slopes = gram @ weights / np.maximum(sizes * sizes.sum() * weights.max(), np.finfo(float).tiny)
        # where a slope is 0 but for rounding, each of both may find it safe or not
        safe = not -1e-12 < slopes.min() < 0
        found = elastic_weights(gram, sigma, floor, safe)
        wanted = elastic_weights_definition(gram, sigma, floor, safe)
        apart = found - wanted
        size = gram.diagonal().max() * max(found.max(), 1) ** 2
        assert apart @ gram @ apart <= 1e-13 * size
        if np.linalg.eigvalsh(gram)[0] > 1e-3 * gram.diagonal().max():
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9 * wanted.max())


@SETTINGS
@given(FAMILY, st.integers(1, 5), SEED)
def test_no_other_set_of_rows_is_better(name, n, seed):
    gram, sigma = problem(name, n, seed)
    scale = gram.diagonal().max() or 1.0
    weights = elastic_weights(gram, sigma)
    best = min(shortest(gram / scale, sigma, list(rows)) for rows in subsets(n))
    assert weights @ gram @ weights / scale <= best + 1e-12 * weights.sum() ** 2


def subsets(n):
    return itertools.chain.from_iterable(itertools.combinations(range(n), k) for k in range(1, n + 1))


def shortest(gram: np.ndarray, sigma: np.ndarray, rows: list[int]) -> float:
    """Squared length of the shortest step of exactly these rows; infinite where there are no such weights."""
    k = len(rows)
    system = np.zeros((k + 1, k + 1))
    system[:k, :k], system[:k, k], system[k, :k] = gram[np.ix_(rows, rows)], sigma[rows], sigma[rows]
    weights = np.linalg.lstsq(system, np.append(np.zeros(k), 1.0))[0][:k]
    if weights.min() < 0 or abs(sigma[rows] @ weights - 1) > 1e-9:
        return np.inf
    return float(weights @ gram[np.ix_(rows, rows)] @ weights)


@SETTINGS
@given(FAMILY, st.integers(2, 30), SEED)
def test_the_step_does_not_depend_on_the_order_of_the_rows(name, n, seed):
    gram, sigma = problem(name, n, seed)
    order = np.random.default_rng(seed).permutation(n)
    apart = elastic_weights(gram, sigma)[order] - elastic_weights(gram[np.ix_(order, order)], sigma[order])
    scaled = gram[np.ix_(order, order)] / (gram.diagonal().max() or 1.0)
    assert apart @ scaled @ apart <= 1e-13 * max(1, np.abs(apart).max()) ** 2
    if np.linalg.eigvalsh(scaled)[0] > 1e-3:
        np.testing.assert_allclose(apart, 0, atol=1e-10)


@SETTINGS
@given(FAMILY, st.integers(1, 30), SEED, st.integers(-300, 300), st.floats(1e-6, 1e6))
def test_scale_of_gradients_and_of_sigma(name, n, seed, power, factor):
    gram, sigma = problem(name, n, seed)
    weights = elastic_weights(gram, sigma)
    np.testing.assert_array_equal(elastic_weights(np.ldexp(gram, power), sigma), weights)
    np.testing.assert_allclose(elastic_weights(gram, sigma * 2.0**9) * 2.0**9, weights, rtol=1e-14)
    assert residual(gram * factor, sigma, elastic_weights(gram * factor, sigma)) < 1e-9
    scaled = elastic_weights(gram, sigma * factor) * factor
    assert residual(gram, sigma, scaled) < 1e-9


@pytest.mark.parametrize(
    ("sigma", "wanted"),
    [
        ((1.0, 1.0), (0.6, 0.4)),
        ((0.5, 0.5), (1.2, 0.8)),
        ((0.25, 0.75), (1.253012, 0.915663)),
        ((0.75, 0.25), (1.105691, 0.682927)),
        ((0.405077, 0.594923), (1.227128, 0.845351)),
    ],
)
@pytest.mark.parametrize("form", [elastic_weights, elastic_weights_definition])
def test_published_values_of_two_rows(form, sigma, wanted):
    found = form(TWO_ROWS, np.array(sigma), np.zeros(2))
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_norms_as_sigma_point_the_way_of_imtl():
    weights = elastic_weights(TWO_ROWS, np.sqrt(TWO_ROWS.diagonal()))
    np.testing.assert_allclose(weights / weights.sum(), [0.592330, 0.407670], atol=1e-6)


@SETTINGS
@given(SEED)
def test_closed_form_of_two_rows(seed):
    rng = np.random.default_rng(seed)
    rows, (s1, s2) = rng.normal(size=(2, 3)), rng.uniform(0.1, 1, 2)
    (a, b), (_, c) = gram = rows @ rows.T
    wanted = np.array([s1 * c - s2 * b, s2 * a - s1 * b]) / (s1**2 * c - 2 * s1 * s2 * b + s2**2 * a)
    if wanted[0] < 0:
        wanted[:] = 0, 1 / s2
    if wanted[1] < 0:
        wanted[:] = 1 / s1, 0
    np.testing.assert_allclose(elastic_weights(gram, np.array([s1, s2])), wanted, atol=1e-10)


@pytest.mark.parametrize("form", [elastic_weights, elastic_weights_definition])
def test_a_floor_that_destroys_common_descent_is_dropped_when_safe(form):
    gram, sigma, floor = UNSAFE @ UNSAFE.T, np.array([0.5, 0.5]), np.full(2, 1 / 3)
    floored, safe = form(gram, sigma, floor, False), form(gram, sigma, floor, True)
    np.testing.assert_allclose(floored, [5 / 3, 1 / 3], atol=1e-12)
    assert (gram @ floored)[0] == pytest.approx(-1.6467, abs=1e-4)
    np.testing.assert_allclose(gram @ safe, 0.02, atol=1e-12)
    np.testing.assert_array_equal(safe, form(gram, sigma, np.zeros(2), True))


@SETTINGS
@given(FAMILY, st.integers(1, 30), SEED, st.floats(0, 1))
def test_a_safe_floor_leaves_common_descent(name, n, seed, share):
    gram, sigma = problem(name, n, seed)
    weights = elastic_weights(gram, sigma, share / sigma.sum())
    assert (gram @ weights >= -1e-11 * gram.diagonal().max() * weights.sum()).all()


def test_a_safe_floor_is_kept_where_it_costs_no_descent():
    weights = elastic_weights(np.diag([1.0, 4.0]), np.array([0.5, 0.5]), 0.9)
    np.testing.assert_allclose(weights, [1.1, 0.9], atol=1e-15)


def test_min_norm_weights_are_those_of_sigma_one():
    gram = family_gram("agreeing", 20, 0)
    np.testing.assert_array_equal(min_norm_weights(gram), elastic_weights(gram, np.ones(20)))
    assert min_norm_weights(gram).sum() == pytest.approx(1, abs=1e-14)
