"""Sparse and Laplacian relations: optimality, structure, and what happens without convergence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import precision

SETTINGS = settings(max_examples=25)
SIZES = st.tuples(st.integers(1, 40), st.integers(2, 14), st.integers(0, 99))


def covariance_of(rows, tasks, seed, ridge=0.05):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(rows, tasks)) @ (np.eye(tasks) + 0.3 * rng.normal(size=(tasks, tasks)))
    return precision.relation_covariance(means, ridge)


@SETTINGS
@given(SIZES, st.sampled_from([0.01, 0.1, 0.5, 3.0]))
def test_sparse_is_optimal(sizes, lam_1):
    c = covariance_of(*sizes)
    found = precision.graphical_lasso(c, lam_1, 1e-9)
    assert found.converged and (found.theta == found.theta.T).all()
    # Subgradient: Theta^-1 - C is lam_1 sign(Theta) where Theta is not zero, within lam_1 elsewhere.
    inverse = np.linalg.inv(found.theta)
    slack, scale = inverse - c, np.abs(inverse).max()
    np.testing.assert_allclose(slack.diagonal(), 0, atol=2e-3 * scale)
    off = ~np.eye(len(c), dtype=bool)
    assert np.abs(slack[off]).max() <= lam_1 + 2e-3 * scale
    chosen = off & (np.abs(found.theta) > 1e-3 * np.abs(found.theta).max())
    np.testing.assert_allclose(slack[chosen], lam_1 * np.sign(found.theta[chosen]), atol=2e-3 * scale)


@pytest.mark.parametrize(("rows", "tasks", "lam_1"), [(40, 6, 0.1), (5, 12, 0.3), (60, 20, 0.5)])
def test_sparse_reaches_the_objective_of_scikit_learn(rows, tasks, lam_1):
    covariance = pytest.importorskip("sklearn.covariance")
    c = covariance_of(rows, tasks, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, theirs = covariance.graphical_lasso(c, alpha=lam_1, tol=1e-6, max_iter=1000)
    ours = precision.graphical_lasso(c, lam_1).theta
    best = precision.sparse_objective(theirs, c, lam_1)
    assert precision.sparse_objective(ours, c, lam_1) <= best + 1e-6 * tasks
    np.testing.assert_allclose(ours, theirs, atol=2e-2 * np.abs(theirs).max())


def test_sparse_objective_has_the_slope_of_its_definition():
    c, rng = covariance_of(20, 4, 0), np.random.default_rng(0)
    theta = np.linalg.inv(c)
    wanted = c - np.linalg.inv(theta) + 0.3 * np.sign(theta) * ~np.eye(4, dtype=bool)
    for drawn in rng.normal(size=(5, 4, 4)):
        turn = (drawn + drawn.T) * 1e-6
        change = precision.sparse_objective(theta + turn, c, 0.3) - precision.sparse_objective(
            theta - turn, c, 0.3
        )
        assert change / 2 == pytest.approx((wanted * turn).sum(), rel=1e-4)


def test_a_large_penalty_leaves_no_edge_and_a_small_one_the_inverse():
    c = covariance_of(30, 6, 1)
    np.testing.assert_allclose(precision.graphical_lasso(c, 100.0).theta, np.diag(1 / c.diagonal()))
    theta = precision.graphical_lasso(c, 1e-7, 1e-10).theta
    np.testing.assert_allclose(theta, np.linalg.inv(c), rtol=1e-3, atol=1e-3)


def test_parts_that_nothing_connects_are_solved_alone():
    one, two = covariance_of(20, 4, 0), covariance_of(20, 3, 1)
    c = np.zeros((7, 7))
    c[:4, :4], c[4:, 4:] = one, two
    order = np.random.default_rng(0).permutation(7)
    found = precision.graphical_lasso(c[np.ix_(order, order)], 0.05, 1e-9).theta
    back = np.argsort(order)
    found = found[np.ix_(back, back)]
    assert not found[:4, 4:].any()
    np.testing.assert_allclose(
        found[:4, :4], precision.graphical_lasso(one, 0.05, 1e-9).theta, rtol=1e-4, atol=1e-4
    )


def test_sparse_works_without_a_ridge_and_from_a_start():
    c = covariance_of(3, 8, 2, ridge=0.0)
    found = precision.graphical_lasso(c, 0.2)
    assert found.converged and np.linalg.eigvalsh(found.theta).min() > 0
    again = precision.graphical_lasso(c, 0.2, start=found.theta)
    assert again.converged and again.iterations < found.iterations
    np.testing.assert_allclose(again.theta, found.theta, atol=1e-2 * np.abs(found.theta).max())


@SETTINGS
@given(SIZES, st.sampled_from([0.0, 0.1, 1.0]))
def test_laplacian_is_optimal_and_leaves_the_consensus_unpenalised(sizes, lam_1):
    c = covariance_of(*sizes)
    found = precision.laplacian_precision(c, lam_1, 1e-8)
    laplacian, size = found.theta, len(c)
    assert found.converged and (laplacian == laplacian.T).all()
    np.testing.assert_allclose(laplacian @ np.ones(size), 0, atol=1e-10 * np.abs(laplacian).max())
    pairs = np.triu_indices(size, 1)
    weights = -laplacian[pairs]
    assert weights.min() >= 0 and np.linalg.eigvalsh(laplacian)[1] > 0  # connected
    inverse = np.linalg.inv(laplacian + np.full((size, size), 1 / size))
    cost, pull = (m[pairs[0], pairs[0]] + m[pairs[1], pairs[1]] - 2 * m[pairs] for m in (c, inverse))
    slope = 1 - pull / (cost + lam_1)
    assert slope.min() >= -1e-6
    assert weights @ (cost + lam_1) == pytest.approx(size - 1, rel=1e-6)
    assert np.abs(weights * (cost + lam_1) * slope).max() <= 1e-3


def test_laplacian_objective_has_the_slope_of_its_definition():
    c = covariance_of(20, 5, 0)
    laplacian = precision.laplacian_precision(c, 0.1).theta - (np.ones((5, 5)) - 5 * np.eye(5)) * 0.1
    inverse = np.linalg.inv(laplacian + np.full((5, 5), 0.2))
    for k, j in zip(*np.triu_indices(5, 1), strict=True):
        b = np.zeros(5)
        b[k], b[j] = 1, -1
        turn = np.outer(b, b) * 1e-5
        ends = [precision.laplacian_objective(laplacian + s * turn, c, 0.1) for s in (1, -1)]
        wanted = b @ c @ b - b @ inverse @ b + 0.1
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(wanted, abs=1e-5 * abs(b @ inverse @ b))


def test_nearer_tasks_get_heavier_edges():
    means = np.array([[0.0, 0.1, 3.0], [1.0, 1.1, -2.0]])
    laplacian = precision.relation_precision(means, "laplacian", 0.1)
    assert -laplacian[0, 1] > -laplacian[1, 2] and -laplacian[0, 1] > -laplacian[0, 2]


@pytest.mark.parametrize("form", ["sparse", "laplacian"])
def test_too_few_iterations_are_said(form):
    means = np.random.default_rng(0).normal(size=(4, 9))
    with pytest.raises(precision.NotConverged, match=f"enough for {form} to reach the tolerance 1e-06"):
        precision.relation_precision(means, form, 0.01, lam_1=0.1, iterations=2)
    c = precision.relation_covariance(means, 0.01)
    solve = precision.graphical_lasso if form == "sparse" else precision.laplacian_precision
    found = solve(c, 0.1, iterations=2)
    assert not found.converged and found.iterations == 2 and found.residual > 1e-6


@pytest.mark.parametrize("unit", [1e-100, 1e-5, 1e5, 1e100])
def test_the_unit_of_the_means_is_free(unit):
    means = np.random.default_rng(0).normal(size=(6, 4))
    wanted = precision.relation_precision(means, "laplacian", 0.01, lam_1=0.01)
    found = precision.relation_precision(means * unit, "laplacian", 0.01 * unit**2, lam_1=0.01 * unit**2)
    np.testing.assert_allclose(found * unit**2, wanted, rtol=1e-3, atol=1e-6)
