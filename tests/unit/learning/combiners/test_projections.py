"""PCGrad, GradVac, UPGrad, DualProj, CAGrad: what their directions are, told by their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from combiner_cases import decreases, step, steps
from gram_families import family_gram

from mpidcl.learning.combiners import make
from mpidcl.learning.combiners.cagrad import length
from mpidcl.learning.combiners.gradvac import turn
from mpidcl.learning.combiners.pcgrad import projected


def nearest(rows: np.ndarray, point: np.ndarray) -> np.ndarray:
    """The point of {d: <g_i, d> >= 0} nearest to `point`: over all sets of active gradients."""
    best, distance = None, np.inf
    for count in range(len(rows) + 1):
        for chosen in map(list, itertools.combinations(range(len(rows)), count)):
            active = rows[chosen]
            d = point - np.linalg.lstsq(active, active @ point)[0] if chosen else point
            if (rows @ d >= -1e-9).all() and (far := np.linalg.norm(d - point)) < distance:
                best, distance = d, far
    return best


@pytest.mark.parametrize("n", [2, 3, 5])
def test_upgrad_is_the_mean_of_nearest_points_and_dualproj_that_of_the_mean(n):
    for seed in range(25):
        rows = np.random.default_rng(seed).normal(size=(n, 4))
        gradients = step(rows @ rows.T)
        wanted = np.mean([nearest(rows, row) for row in rows], axis=0)
        np.testing.assert_allclose(make("upgrad").weights(gradients) @ rows, wanted, atol=1e-8)
        np.testing.assert_allclose(
            make("dualproj").weights(gradients) @ rows, nearest(rows, rows.mean(0)), atol=1e-8
        )


def test_gradients_that_agree_are_left_alone():
    gram = family_gram("agreeing", 5, 2) + 10
    assert gram.min() > 0
    for kind, weights in (("upgrad", 0.2), ("dualproj", 0.2), ("pcgrad", 1.0), ("gradvac", 1.0)):
        np.testing.assert_allclose(make(kind).weights(step(gram)), weights, rtol=1e-12)


def test_pcgrad_follows_the_algorithm_on_rows():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(5, 3))
        others = rng.permutation([j for j in range(5) if j != 2]).tolist()
        vector = rows[2].copy()
        for j in others:
            if vector @ rows[j] < 0:
                vector -= vector @ rows[j] / (rows[j] @ rows[j]) * rows[j]
        np.testing.assert_allclose(projected(rows @ rows.T, 2, others) @ rows, vector, atol=1e-12)


def test_pcgrad_meets_all_others_in_every_order():
    # Against one other task only, two of three opposed gradients would never be seen.
    rows = np.array([[1.0, 0.0], [-1.0, 0.2], [-1.0, -0.2]])
    found = {tuple(make("pcgrad").weights(step(rows @ rows.T, seed=seed)).round(9)) for seed in range(200)}
    assert len(found) == 2**3


def test_gradvac_with_target_0_is_pcgrad():
    for gradients, same in zip(steps(60), steps(60), strict=True):
        one = make("gradvac", target=0.0).weights(gradients)
        two = make("pcgrad").weights(same)
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-9 * np.abs(two).max())


@pytest.mark.parametrize("target", [-0.5, 0.0, 0.3, 0.9])
def test_turn_brings_the_cosine_up_to_the_target(target):
    for cosine in np.linspace(-0.99, 0.99, 45):
        weight = turn(float(cosine), target)
        if cosine >= target:
            assert weight == 0
        else:
            vector = np.array([cosine + weight, np.sqrt(1 - cosine**2)])
            assert vector[0] / np.linalg.norm(vector) == pytest.approx(target, abs=1e-12)


def test_gradvac_targets_are_running_means_of_pairs_that_stay():
    combiner = make("gradvac", beta=0.25)
    gram = np.array([[4.0, 3.0], [3.0, 9.0]])  # cosine 1/2
    combiner.weights(step(gram, tasks=(0, 5)))
    state = combiner.state()
    assert dict(zip(map(tuple, state["pairs"].tolist()), state["targets"], strict=True)) == {
        (0, 5): 0.125,
        (5, 0): 0.125,
    }
    combiner.weights(step(gram, tasks=(-1, 0)))  # other pairs
    weights = combiner.weights(step(np.diag((1.0, 1.0)), tasks=(0, 5)))  # cosine 0, below 1/8
    np.testing.assert_allclose(weights, 1 + turn(0.0, 0.125))
    assert combiner.state()["targets"][0] == 0.125 * 0.75


def test_gradvac_with_targets_of_one_is_finite():
    combiner = make("gradvac", beta=1.0)
    for cosine in (1.0, -1.0, 0.0):
        assert np.isfinite(combiner.weights(step([[1.0, cosine], [cosine, 1.0]]))).all()


@pytest.mark.parametrize("c", [0.1, 0.5, 0.9, 2.0])
def test_cagrad_is_the_best_within_its_ball(c):
    for seed in range(15):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(4, 3)) + rng.normal(size=3)
        middle = rows.mean(0)
        d = make("cagrad", c=c).weights(step(rows @ rows.T)) @ rows
        radius = c * np.linalg.norm(middle)
        assert np.linalg.norm(d - middle) <= radius * (1 + 1e-6)
        balls = rng.normal(size=(4000, 3))
        balls *= radius * rng.random((4000, 1)) ** (1 / 3) / np.linalg.norm(balls, axis=1, keepdims=True)
        near = d + 0.01 * radius * rng.normal(size=(2000, 3))
        near = near[np.linalg.norm(near - middle, axis=1) <= radius]
        for points in (middle + balls, near):
            if len(points):
                assert (points @ rows.T).min(1).max() <= (rows @ d).min() + 1e-7 * radius


def test_cagrad_without_a_radius_is_the_mean():
    for gradients in steps(24):
        np.testing.assert_array_equal(
            make("cagrad", c=0.0).weights(gradients), make("mean").weights(gradients)
        )


def test_cagrad_goes_as_far_as_it_may_where_all_can_gain():
    for seed in range(40):
        gram = family_gram("agreeing", 4, seed) + np.eye(4)
        u = np.full(4, 0.25)
        for c in (0.2, 0.8):
            weights = make("cagrad", c=c).weights(step(gram))
            assert length(gram, weights - u) == pytest.approx(c * length(gram, u), rel=1e-9)


def test_cagrad_at_a_pareto_critical_point_is_the_nearest_direction_that_hurts_nobody():
    rows = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0]])
    gradients = step(rows @ rows.T)
    np.testing.assert_allclose(make("cagrad", c=0.9).weights(gradients) @ rows, (0, 1), atol=1e-9)
    rows = np.array([[2.0, 0.0], [-1.0, 0.0], [0.0, 3.0]])  # whose mean hurts the second
    gradients = step(rows @ rows.T)
    np.testing.assert_allclose(make("cagrad", c=0.9).weights(gradients) @ rows, (0, 1), atol=1e-9)


def test_cagrad_with_a_large_radius_hurts_nobody():
    for gradients in steps(300, seed=9):
        assert decreases(gradients, make("cagrad", c=1.0).weights(gradients)).min() > -1e-4
