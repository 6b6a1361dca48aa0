"""Runs of linear models against the error floors that theory gives, within 5 %."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov

from mpidcl_kernels import linear

SIZE = 4


def samples(events, seed, noise=1.0):
    """Standard normal features, the truth zero: y is noise alone."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(events, SIZE)), noise * rng.normal(size=events), rng


def floor_of(nodes, alpha, events, seed=0, neighbours=None, noise=1.0):
    """Mean squared errors of models and of their mean, over the last nine tenths of a run."""
    x, y, rng = samples(events, seed, noise)
    w, sums, count, mean = np.zeros((nodes, SIZE)), 0.0, 0, 0.0
    ticks, target = rng.integers(0, nodes, events), np.zeros((nodes, SIZE))
    for part in np.array_split(np.arange(events), 2000 if neighbours is not None else 1):
        errors = linear.run_events(
            w, linear.Events(ticks[part], x[part], y[part], alpha), neighbours, None, target
        )
        if part[-1] >= events // 10:
            kept = errors[max(events // 10 - part[0], 0) :]
            sums, count = sums + kept.mean(), count + 1
            mean += (w.mean(0) ** 2).sum()
    return sums / count, mean / count


def test_the_floor_of_a_lone_node_is_the_golden_number():
    golden = 0.02 * SIZE / (2 - 0.02 * (SIZE + 2))
    assert golden == pytest.approx(0.042553, abs=1e-6)
    assert floor_of(1, 0.02, 1_000_000)[0] == pytest.approx(golden, rel=0.05)


def test_half_the_step_halves_the_floor_and_twice_the_noise_makes_it_four_times():
    whole = floor_of(1, 0.02, 1_000_000)[0]
    assert floor_of(1, 0.01, 2_000_000, 1)[0] == pytest.approx(whole / 2, rel=0.06)
    assert floor_of(1, 0.02, 1_000_000, 2, noise=2.0)[0] == pytest.approx(4 * whole, rel=0.06)


def test_coupled_nodes_divide_the_floor():
    """All hear all: the mean of N nodes has 1/N of a lone node's error, and the models lie around it."""
    nodes, alpha, pull = 4, 0.01, 1.0
    complete = np.ones((nodes, nodes)) - np.eye(nodes)
    lone = alpha * SIZE / 2
    each, mean = floor_of(nodes, alpha, 2_000_000, 3, linear.Neighbours.from_matrix(complete, pull))
    # Small steps: A P + P A = alpha S, A = I + lam_L Laplacian, S = I, in each coordinate.
    drift = np.eye(nodes) + pull * (nodes * np.eye(nodes) - np.ones((nodes, nodes)))
    spread = solve_continuous_lyapunov(drift, alpha * np.eye(nodes))
    assert each == pytest.approx(SIZE * spread.trace() / nodes, rel=0.05)
    assert each < 0.5 * lone
    assert mean == pytest.approx(lone / nodes, rel=0.1)


def test_the_transient_decays_as_the_mean_field_says():
    events, alpha, nodes = 4000, 0.01, 2000
    rng = np.random.default_rng(0)
    x = rng.normal(size=(events * 20, SIZE))
    ticks = rng.integers(0, nodes, events * 20)
    w = np.ones((nodes, SIZE))
    linear.run_events(w, linear.Events(ticks, x, np.zeros(events * 20), alpha))
    each = events * 20 / nodes  # ticks of a node
    assert w.mean() == pytest.approx(np.exp(-alpha * each), rel=0.03)


def test_the_bias_of_the_global_term_grows_with_its_weight():
    x, y, rng = samples(400_000, 5, noise=0.1)
    found = []
    for weight in (0.05, 0.1):
        relation = linear.Relation(
            np.array([[1.0, -1.0], [-1.0, 1.0]]), np.ones((2, SIZE)), np.zeros(1, int), weight, True
        )
        w, target = np.zeros((1, SIZE)), np.zeros((1, SIZE))
        ticks = linear.Events(np.zeros(len(x), int), x, y, 0.01)
        linear.run_events(w, linear.Events(ticks.nodes[:2000], x[:2000], y[:2000], 0.01), None, relation)
        errors = linear.run_events(w, ticks, None, relation, target, 10)
        found.append(np.sqrt(errors.mean() / SIZE))
        # (1 + lam_G) w = lam_G wbar_other at rest
        assert found[-1] == pytest.approx(weight / (1 + weight), rel=0.1)
    assert found[1] / found[0] == pytest.approx(2 * 1.05 / 1.1, rel=0.1)
