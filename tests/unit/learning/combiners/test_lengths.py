"""Unequal lengths of gradients: laws of scaling where a method has one, no jump where it has none."""

from __future__ import annotations

import itertools

import mpmath  # comes with torch
import numpy as np
import pytest
from combiner_cases import WEIGHTED, step

from mpidcl.learning.combiners import make
from mpidcl.learning.combiners.pcgrad import projected
from mpidcl_kernels.cone import cone_weights
from mpidcl_kernels.simplex import elastic_weights

FAMILIES = ("normal", "conflict", "nearly parallel", "zero row")


def rows_of(family: str, seed: int, n: int = 4, p: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, p))
    if family == "conflict":
        rows[1] = -rows[0] + 0.1 * rng.normal(size=p)
    if family == "nearly parallel":
        rows[1] = rows[0] + 1e-4 * rng.normal(size=p)
    if family == "zero row":
        rows[2] = 0
    return rows


def cases(count: int):
    """(family, Gram matrix, factors [n] from 1e-8 to 1e8, matrix of the rows times these factors)."""
    for family, seed in itertools.product(FAMILIES, range(count)):
        rows = rows_of(family, seed)
        gram = rows @ rows.T
        factors = 2.0 ** np.random.default_rng(seed).integers(-27, 28, len(rows))
        yield family, gram, factors, gram * np.outer(factors, factors)


# --- laws -------------------------------------------------------------------------------------------

SAME_STEP = [
    ("imtl_g", {}),
    ("config", {}),
    ("nash_mtl", {"max_norm": 0.0}),
    ("norm_grad", {}),
    ("gradnorm", {}),
    ("mgda", {"normalise": "l2"}),
    ("elastic", {"sigma": "norm", "floor": False}),  # a floor is one of weights, which know lengths
    ("elastic", {"sigma": "ema_norm", "floor": False}),
]


@pytest.mark.parametrize(("kind", "options"), SAME_STEP)
def test_the_way_that_a_step_goes_knows_no_lengths(kind, options):
    for family, gram, factors, scaled in cases(25):
        one, two = (make(kind, **options).weights(step(matrix)) for matrix in (gram, scaled))
        if kind == "nash_mtl" and family == "zero row":
            assert one[2] == two[2] == 0
        largest = np.abs(one).argmax()
        assert one.any()
        np.testing.assert_allclose(
            two * factors / (two * factors)[largest], one / one[largest], rtol=1e-12, atol=1e-14
        )


def test_projections_change_with_the_length_of_what_is_projected_alone():
    for _, gram, factors, scaled in cases(25):
        lower = np.eye(4) + np.full(4, 0.25)
        one, two = cone_weights(gram, lower), cone_weights(scaled, lower / factors)  # UPGrad and DualProj
        np.testing.assert_allclose(two * factors, one, rtol=1e-10, atol=1e-13)
        for i in range(4):
            others = [j for j in range(4) if j != i]
            one, two = projected(gram, i, others), projected(scaled, i, others)
            np.testing.assert_allclose(two * factors / factors[i], one, rtol=1e-12, atol=1e-14)


def test_elastic_weights_with_factors_as_long_as_rows_know_no_lengths():
    sigma = np.array([0.3, 1.0, 0.7, 0.2])
    for family, gram, factors, scaled in cases(25):
        one, two = elastic_weights(gram, sigma), elastic_weights(scaled, sigma * factors)
        if family == "zero row":
            np.testing.assert_array_equal(two > 0, one > 0)
        np.testing.assert_allclose(two * factors, one, rtol=1e-10, atol=1e-13)


def test_imtl_g_has_equal_projections_beside_a_short_gradient():
    for q in 10.0 ** np.arange(-16, 9):
        rows = np.array([[q, 0.0, 0.0], [0.2, 1.0, 0.0], [0.0, 0.3, 1.0]])
        weights = make("imtl_g").weights(step(rows @ rows.T))
        lengths = rows @ (weights @ rows) / np.linalg.norm(rows, axis=1)
        np.testing.assert_allclose(lengths, lengths[0], rtol=1e-12)
        assert weights.sum() == pytest.approx(1)


# --- exact answers, in many digits --------------------------------------------------------------------


def exact_cagrad(rows: np.ndarray, c: float) -> np.ndarray:
    """d [p] by trying all sets of gradients whose product with d is the least one, t.

    d = g_0 + sum over the set of l_i g_i with l >= 0 and <g_i, d> = t in the set, at least t outside, and
    ||d - g_0|| = c ||g_0||, which is a square equation for t.
    """
    exact = mpmath.matrix(rows.tolist())
    n = exact.rows
    gram, u = exact * exact.T, mpmath.matrix([mpmath.mpf(1) / n] * n)
    products = gram * u
    square, best, found = (mpmath.mpf(c) ** 2) * (u.T * products)[0], -mpmath.inf, None
    for chosen in itertools.chain.from_iterable(itertools.combinations(range(n), k) for k in range(1, n + 1)):
        inverse = mpmath.matrix([[gram[i, j] for j in chosen] for i in chosen]) ** -1
        there = mpmath.matrix([products[i] for i in chosen])
        up, down = inverse * mpmath.matrix([1] * len(chosen)), inverse * there
        a, b, rest = sum(up), -2 * (up.T * there)[0], (down.T * there)[0] - square
        if b * b < 4 * a * rest:
            continue
        for sign in (1, -1):
            t = (-b + sign * mpmath.sqrt(b * b - 4 * a * rest)) / (2 * a)
            added = t * up - down
            weights = u.copy()
            for i, value in zip(chosen, added, strict=True):
                weights[i] += value
            slope = gram * weights
            right = min(added) >= 0 and all(s - t >= -(mpmath.mpf(10) ** -50) * abs(t) for s in slope)
            if right and t > best:
                best, found = t, exact.T * weights
    return np.array([float(value) for value in found])


def lengths(count: int, n: int, seed: int):
    """Factors [n] of gradients between 1e-8 and 1e8; in every second case one of them alone is short."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        factors = 10 ** rng.uniform(-8, 8, n)
        yield factors if number % 2 else np.where(np.arange(n) == number // 2 % n, factors.min(), 1.0)


@pytest.mark.parametrize("c", [0.1, 0.5, 0.9, 2.0])
@pytest.mark.parametrize("family", ["normal", "conflict", "nearly parallel"])
def test_cagrad_is_the_exact_one_for_all_lengths(family, c):
    with mpmath.workdps(80):
        for number, factors in enumerate(lengths(12, 3, 1)):
            rows = rows_of(family, number, n=3, p=4) * factors[:, None]
            found, wanted = make("cagrad", c=c).weights(step(rows @ rows.T)) @ rows, exact_cagrad(rows, c)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("q", [1e-3, 1e-5, 1e-6, 1e-9, 1e-14])
def test_cagrad_does_not_lose_a_short_gradient(q):
    rows = np.array([[q, 0.0], [-0.5, 1.0]])
    found = make("cagrad", c=0.9).weights(step(rows @ rows.T)) @ rows
    np.testing.assert_allclose(found, (0.2531, 0.5), atol=5e-4)


def exact_aligned(rows: np.ndarray, scale: str) -> np.ndarray:
    """d [p] of the mean of the nearest orthogonal gradients, from eigenvalues in many digits."""
    exact = mpmath.matrix(rows.tolist())
    values, vectors = mpmath.eigsy(exact * exact.T)
    kept = [i for i in range(exact.rows) if values[i] > max(values) * mpmath.mpf(10) ** -60]
    sizes = sorted(mpmath.sqrt(values[i]) for i in kept)
    size = {
        "min": sizes[0],
        "median": sizes[(len(sizes) - 1) // 2],
        "mean": mpmath.sqrt(sum(s**2 for s in sizes) / len(sizes)),
    }[scale]
    weights = mpmath.matrix(exact.rows, 1)
    for i in kept:
        weights += vectors[:, i] * (sum(vectors[:, i]) / exact.rows * size / mpmath.sqrt(values[i]))
    return np.array([float(value) for value in exact.T * weights])


@pytest.mark.parametrize("scale", ["min", "median", "mean"])
@pytest.mark.parametrize("family", [*FAMILIES, "dependent"])
def test_aligned_mtl_is_the_exact_one_for_all_lengths(family, scale):
    with mpmath.workdps(80):
        for number, factors in enumerate(lengths(8, 4, 2)):
            rows = rows_of(family, number)
            if family == "dependent":
                rows = np.random.default_rng(number).integers(-3, 4, (4, 2)) + 0.5
            rows = rows * 2.0 ** np.log2(factors[:, None]).round()  # dependent rows stay so to the last bit
            found = make("aligned_mtl", scale=scale).weights(step(rows @ rows.T)) @ rows
            wanted = exact_aligned(rows, scale)
            rounding = 1e-6 if family == "nearly parallel" else 1e-10  # G knows an angle of 1e-4 to 1e-8
            np.testing.assert_allclose(found, wanted, rtol=0, atol=rounding * np.abs(wanted).max())


# --- no jumps -----------------------------------------------------------------------------------------

POWERS = np.linspace(-8, 8, 97)


# IMTL-G is divided by the sum of its weights, which passes 0: there is nothing that is continuous.
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", sorted({*WEIGHTED} - {"imtl_g"}))
def test_the_direction_does_not_jump_when_a_gradient_grows(kind, family):
    rows = rows_of(family, 7)

    def direction(power: float) -> np.ndarray:
        longer = rows * [[10**power], [1], [1], [1]]
        return make(kind).weights(step(longer @ longer.T)) @ longer

    found = [direction(power) for power in POWERS]
    steps = [apart(one, two) for one, two in itertools.pairwise(found)]
    for place in np.argsort(steps)[-2:]:
        low, high = POWERS[place : place + 2]
        first, last = found[place], found[place + 1]
        for _ in range(30):  # towards the larger change: at a jump it stays, elsewhere it halves
            middle = direction((low + high) / 2)
            if apart(first, middle) > apart(middle, last):
                high, last = (low + high) / 2, middle
            else:
                low, first = (low + high) / 2, middle
        assert apart(first, last) < 1e-3, (low, first, last)


def apart(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.abs(one - two).max() / (max(np.abs(one).max(), np.abs(two).max()) or 1))
