"""Weights, averages and Fisher sums against their formulas in float64."""

import numpy as np
import pytest
from exchange_fakes import RING, STAR, complete, neighbourhoods
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.exchange.averaging import (
    Contribution,
    curvature_sums,
    distances,
    fisher_average,
    mixing_weights,
    weighted_average,
    with_silent,
)
from mpidcl_kernels.average.parts import BLOCK

SIZE = 2 * BLOCK + 77  # more than one block of the kernel


def vectors(count, seed=0, size=SIZE):
    return list(np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32))


def whole(agent, values, fisher=None):
    return Contribution(agent, slice(0, values.size), values, fisher)


@pytest.mark.parametrize("edges", [RING, STAR, complete(4), [(0, 1), (1, 2)]])
@pytest.mark.parametrize("kind", ["uniform", "metropolis"])
def test_weights_of_an_agent_sum_to_one_and_are_not_negative(edges, kind):
    for near in neighbourhoods(edges, 4):
        weights = mixing_weights(kind, near.agent, near.sources, near.degrees)
        assert sum(weights.values()) == pytest.approx(1)
        assert min(weights.values()) >= 0


def test_uniform_weights_are_the_published_formula():
    near = neighbourhoods(STAR, 4)
    assert mixing_weights("uniform", 0, near[0].sources, near[0].degrees) == dict.fromkeys(range(4), 0.25)
    assert mixing_weights("uniform", 1, near[1].sources, near[1].degrees) == {0: 0.5, 1: 0.5}


@pytest.mark.parametrize("edges", [RING, STAR, [(0, 1), (1, 2), (2, 3)], [(0, 1), (2, 3)]])
def test_metropolis_weights_are_doubly_stochastic(edges):
    matrix = np.zeros((4, 4))
    for near in neighbourhoods(edges, 4):
        for other, weight in mixing_weights("metropolis", near.agent, near.sources, near.degrees).items():
            matrix[near.agent, other] = weight
    np.testing.assert_allclose(matrix.sum(0), 1)
    np.testing.assert_allclose(matrix, matrix.T)


def test_metropolis_weights_are_the_published_formula():
    line = neighbourhoods([(0, 1), (1, 2), (2, 3)], 4)
    assert mixing_weights("metropolis", 0, line[0].sources, line[0].degrees) == pytest.approx(
        {1: 1 / 3, 0: 2 / 3}
    )
    assert mixing_weights("metropolis", 1, line[1].sources, line[1].degrees) == pytest.approx(
        {0: 1 / 3, 2: 1 / 3, 1: 1 / 3}
    )


def test_a_silent_neighbours_weight_goes_to_the_agent():
    weights = {0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}
    assert with_silent(weights, 1, [3]) == {1: 0.75, 3: 0.25}
    assert with_silent(weights, 1, [0, 2, 3]) == weights


@given(st.permutations([0, 2, 5]))
def test_the_average_does_not_depend_on_arrival(order):
    models = dict(zip((0, 1, 2, 5), vectors(4, size=500), strict=True))
    weights = dict.fromkeys(models, 0.25)
    average = weighted_average(models[1], 1, [whole(j, models[j]) for j in order], weights)
    expected = sum(0.25 * models[j].astype(np.float64) for j in sorted(models))
    assert np.array_equal(average, expected.astype(np.float32))


def test_agents_of_a_complete_graph_agree_on_every_bit_after_one_average():
    models = vectors(5)
    weights = dict.fromkeys(range(5), 0.2)
    averages = [
        weighted_average(models[i], i, [whole(j, models[j]) for j in range(5) if j != i], weights)
        for i in range(5)
    ]
    assert all(np.array_equal(averages[0], other) for other in averages[1:])
    again = weighted_average(averages[0], 0, [whole(j, averages[j]) for j in range(1, 5)], weights)
    assert np.array_equal(again, averages[0])  # consensus is kept to the last bit


SOME = np.array([3, BLOCK - 1, BLOCK, SIZE - 1], np.uint32)


@pytest.mark.parametrize("positions", [slice(BLOCK - 5, BLOCK + 9), SOME])
def test_positions_that_did_not_come_keep_the_agents_own_value(positions):
    own, other = vectors(2)
    given = Contribution(1, positions, other[positions])
    average = weighted_average(own, 0, [given], {0: 0.5, 1: 0.5})
    expected = own.astype(np.float64).copy()
    expected[positions] = 0.5 * own[positions].astype(np.float64) + 0.5 * other[positions]
    assert np.array_equal(average, expected.astype(np.float32))
    assert distances(own, [given]) == [pytest.approx(np.abs(own - other)[positions].mean(), rel=1e-6)]


def test_fisher_average_is_the_formula_and_plain_where_nobody_cares():
    models, fishers = vectors(3), [np.abs(f) for f in vectors(3, seed=1)]
    for fisher in fishers:
        fisher[:10] = 0
    given = [whole(j, models[j], fishers[j]) for j in (1, 2)]
    weights = dict.fromkeys(range(3), 1 / 3)
    average = fisher_average(models[0], fishers[0], 0, given, weights, 1e-12)
    doubles = [f.astype(np.float64) for f in fishers]
    weighted = sum(f * m for f, m in zip(doubles, models, strict=True))
    expected = weighted / (sum(doubles) + 1e-300)
    np.testing.assert_allclose(average[10:], expected[10:], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(average[:10], np.mean(models, axis=0)[:10], rtol=1e-5, atol=1e-7)


def test_curvature_sums_rebuild_the_fedcurv_penalty():
    w, *models = (v.astype(np.float64) for v in vectors(3))
    fishers = [np.abs(f) for f in vectors(2, seed=1)]
    given = [whole(j, m.astype(np.float32), f) for j, (m, f) in enumerate(zip(models, fishers, strict=True))]
    information, weighted = curvature_sums(given, SIZE)
    direct = sum((f * (w - m) ** 2).sum() for f, m in zip(fishers, models, strict=True))
    constant = sum((f * m**2).sum() for f, m in zip(fishers, models, strict=True))
    assert (information * w**2 - 2 * weighted * w).sum() + constant == pytest.approx(direct, rel=1e-5)


def test_without_neighbours_there_is_nothing():
    own = np.ones(5, np.float32)
    assert distances(own, []) == [] and curvature_sums([], 5) is None
    assert np.array_equal(weighted_average(own, 0, [], {0: 1.0}), own)


@pytest.mark.parametrize("positions", [slice(BLOCK - 5, BLOCK + 9), SOME])
def test_an_average_may_go_into_the_agents_own_model(positions):
    own, other = vectors(2)
    given, weights = [Contribution(0, positions, other[positions])], {0: 0.25, 1: 0.75}
    expected = weighted_average(own, 1, given, weights)
    assert weighted_average(own, 1, given, weights, out=own) is own
    assert np.array_equal(own, expected)


def test_a_contribution_goes_where_it_is_placed():
    came = Contribution(3, SOME, np.ones(4, np.float32), np.zeros(4, np.float32))
    placed = came.on(lambda array: ("there", array))
    assert [part[0] for part in (placed.positions, placed.values, placed.fisher)] == ["there"] * 3
    assert placed.positions[1].dtype == np.int64  # which kernels on every device take
    row = whole(1, np.ones(4, np.float32)).on(lambda array: array)
    assert (row.place, row.fisher) == (0, None)
