"""IMTL-G, ConFIG, Nash-MTL, Aligned-MTL, MaxDO, normalised MGDA: the equations that they solve."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from combiner_cases import step
from gram_families import family_gram, residual

from mpidcl.errors import ExperimentError
from mpidcl.learning.combiners import make
from mpidcl.learning.combiners.maxdo import mixtures, slope
from mpidcl.learning.combiners.nash_mtl import bargain

CASES = [(n, seed) for n in (2, 3, 6, 10) for seed in range(15)]


def rows_of(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n + 2)) * np.linspace(1, 4, n)[:, None]


@pytest.mark.parametrize(("n", "seed"), CASES)
def test_imtl_g_has_equal_projections_and_weights_that_add_up_to_1(n, seed):
    rows = rows_of(n, seed)
    weights = make("imtl_g").weights(step(rows @ rows.T))
    lengths = rows @ (weights @ rows) / np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-8)
    assert weights.sum() == pytest.approx(1)


def test_imtl_g_is_elastic_with_lengths_as_factors_where_all_take_part():
    for seed in range(30):
        gram = family_gram("agreeing", 4, seed)
        elastic = make("elastic", sigma="norm", floor=False).weights(step(gram))
        if elastic.min() > 0:
            np.testing.assert_allclose(make("imtl_g").weights(step(gram)), elastic / elastic.sum(), rtol=1e-6)


def test_imtl_g_of_dependent_gradients_has_projections_as_equal_as_may_be():
    rows = np.array(
        [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    )  # the third unit gradient sees more of any direction
    unit = rows / np.linalg.norm(rows, axis=1)[:, None]
    d = make("imtl_g").weights(step(rows @ rows.T)) @ rows
    nearest = np.linalg.lstsq(unit, np.ones(3))[0]
    np.testing.assert_allclose(d / np.linalg.norm(d), nearest / np.linalg.norm(nearest), rtol=1e-9)
    for factor in (1e-8, 1e8):  # and the length of a gradient has no say in it
        longer = rows * [[factor], [1], [1]]
        again = make("imtl_g").weights(step(longer @ longer.T)) @ longer
        np.testing.assert_allclose(again / np.linalg.norm(again), d / np.linalg.norm(d), rtol=1e-9)


def test_imtl_g_and_config_of_opposed_gradients_stop():
    for kind in ("imtl_g", "config", "nash_mtl"):
        np.testing.assert_array_equal(make(kind).weights(step([[1.0, -1.0], [-1.0, 1.0]])), 0)


@pytest.mark.parametrize(("n", "seed"), CASES)
def test_config_has_equal_cosines_and_the_length_of_the_projections(n, seed):
    rows = rows_of(n, seed)
    d = make("config").weights(step(rows @ rows.T)) @ rows
    size = np.linalg.norm(d)
    cosines = rows @ d / np.linalg.norm(rows, axis=1) / size
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-8)
    assert size == pytest.approx((rows @ d).sum() / size, rel=1e-8)


@pytest.mark.parametrize(("n", "seed"), CASES)
def test_nash_weights_solve_their_equation(n, seed):
    gram = family_gram("normal", n, seed) + 1e-3 * np.eye(n)
    w = bargain(gram)
    assert w.min() > 0
    np.testing.assert_allclose(gram @ w, 1 / w, rtol=1e-8)


@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0, 1e4])
def test_nash_direction_is_that_of_the_normalised_matrix_and_no_longer_than_allowed(size):
    gram = family_gram("normal", 4, 1) * size
    w = bargain(gram / np.linalg.norm(gram))
    free = make("nash_mtl", max_norm=0.0).weights(step(gram))
    np.testing.assert_allclose(free, w, rtol=1e-9)
    clipped = make("nash_mtl", max_norm=0.5).weights(step(gram))
    length = np.sqrt(clipped @ gram @ clipped)
    assert length == pytest.approx(min(0.5, np.sqrt(free @ gram @ free)))
    np.testing.assert_allclose(clipped / clipped.sum(), free / free.sum(), rtol=1e-9)


@pytest.mark.parametrize(("n", "seed"), CASES)
def test_aligned_gradients_are_orthogonal_and_as_long_as_the_least_singular_value(n, seed):
    rows = rows_of(n, seed)
    left, singular, right = np.linalg.svd(rows, full_matrices=False)
    aligned = singular.min() * left @ right
    np.testing.assert_allclose(aligned @ aligned.T, singular.min() ** 2 * np.eye(n), atol=1e-9)
    gradients = step(rows @ rows.T)
    np.testing.assert_allclose(make("aligned_mtl").weights(gradients) @ rows, aligned.mean(0), atol=1e-8)
    middle = torch.from_numpy(singular).median().item()  # of two in the middle torch takes the smaller
    for scale, size in (("median", middle), ("mean", np.sqrt((singular**2).mean()))):
        found = make("aligned_mtl", scale=scale).weights(gradients) @ rows
        np.testing.assert_allclose(found, aligned.mean(0) * size / singular.min(), atol=1e-7)


def test_aligned_mtl_leaves_dependent_directions_out():
    rows = np.array([[3.0, 0.0], [3.0, 0.0], [0.0, 1.0]])
    weights = make("aligned_mtl").weights(step(rows @ rows.T))
    # Two axes are left, of lengths sqrt(18) and 1; both get length 1.
    np.testing.assert_allclose(weights @ rows, (2**0.5 / 3, 1 / 3), atol=1e-9)


def test_normalised_mgda_is_the_shortest_of_normalised_gradients():
    for seed in range(20):
        gram, losses = family_gram("normal", 5, seed), np.random.default_rng(seed).uniform(0.1, 2, 5)
        norms = np.sqrt(gram.diagonal())
        for normalise, sizes in (("l2", norms), ("loss", losses), ("loss+", losses * norms)):
            combiner = make("mgda", normalise=normalise)
            weights = combiner.weights(step(gram, losses=losses))
            inner, divided = weights * sizes, gram / np.outer(sizes, sizes)
            assert residual(divided, np.ones(5), inner) < 1e-9
            np.testing.assert_allclose(combiner.sigma, sizes)


def test_mgda_reaches_the_corner():
    # Published loops keep the shares within .001 and .999, or end after a counted number of rounds.
    np.testing.assert_array_equal(make("mgda").weights(step([[1.0, 1.0], [1.0, 4.0]])), (1, 0))


def test_mgda_by_losses_names_the_task_whose_loss_is_negative():
    with pytest.raises(ExperimentError, match=r"mgda.*Found -1 for task 0 at step 0"):
        make("mgda", normalise="loss+").weights(step(np.eye(2), losses=(1, -1)))


def test_maxdo_makes_the_discrepancy_smaller_by_its_slope():
    for seed in range(20):
        gram = family_gram("normal", 5, seed)
        logits = np.random.default_rng(seed).normal(size=(5, 5))
        found, other = slope(gram, mixtures(logits)), np.zeros((5, 5))
        for i, j in np.ndindex(5, 5):
            up, down = logits.copy(), logits.copy()
            up[i, j] += 1e-6
            down[i, j] -= 1e-6
            other[i, j] = (discrepancy(gram, mixtures(up)) - discrepancy(gram, mixtures(down))) / 2e-6
        np.testing.assert_allclose(found, other, atol=1e-7)
        assert discrepancy(gram, mixtures(logits - 1e-2 * found)) < discrepancy(gram, mixtures(logits))


def discrepancy(gram: np.ndarray, mixed: np.ndarray) -> float:
    apart = mixed - np.eye(len(gram))
    distance = np.sqrt(np.einsum("ij,jk,ik->i", apart, gram, apart))
    return float((distance / (distance + np.sqrt(gram.diagonal()))).sum())


def test_maxdo_is_a_mean_of_mixtures_and_mgda():
    for seed in range(20):
        weights = make("maxdo").weights(step(family_gram("normal", 4, seed)))
        assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
    # Gradients 1 and 2 are alike, so each stands for the other; 3 is shared out.
    gram = np.array([[1.0, 0.99, 0], [0.99, 1, 0], [0, 0, 1]])
    weights = make("maxdo", rounds=200).weights(step(gram))
    mu = make("mgda").weights(step(gram))
    np.testing.assert_allclose(4 * weights - mu, (1.5, 1.5, 0), atol=0.05)
