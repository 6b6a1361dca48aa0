"""Standard errors where agents of one run share a seed: over seeds, and intervals that hold what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mpidcl.views.mean_error import MARK, MeanError, band, footnote, mean_error, paired_mean

KMNIST_LIKE = {(0, 0): 78.0, (0, 1): 80.0, (1, 0): 84.0, (1, 1): 86.0, (2, 0): 81.0, (2, 1): 83.0}
"""(seed, agent): the means of the seeds are 79, 85 and 82; agents of a seed are 2 apart, seeds 3."""


def test_a_small_table_by_hand() -> None:
    """Deviation of 79, 85, 82 is 3, over sqrt(3); all six at once would give 2.92 / sqrt(6) = 1.19."""
    found = paired_mean(KMNIST_LIKE)
    assert (found.mean, found.number, found.seeds) == (82.0, 6, 3)
    assert found.standard_error == pytest.approx(3 / math.sqrt(3))
    assert found.reach == pytest.approx(4.302653 * 3 / math.sqrt(3), rel=1e-6), "Student's t with 2 degrees"
    assert (found.over(), found.mark) == ("3 seeds", "")
    assert np.std(list(KMNIST_LIKE.values()), ddof=1) / math.sqrt(6) == pytest.approx(1.19, abs=0.01)


def test_agents_of_one_seed_are_no_evidence() -> None:
    found = mean_error([0.90, 0.91, 0.92, 0.93])
    assert found.standard_error == pytest.approx(np.std([0.90, 0.91, 0.92, 0.93], ddof=1) / 2)
    assert (found.over(), found.mark) == ("4 agents of one seed", MARK)
    assert found.over("model") == "4 models of one seed"
    assert found.reach == math.inf
    assert not found.clear
    assert MARK in footnote()


def test_one_value_has_no_standard_error() -> None:
    found = mean_error([0.5])
    assert (found.mean, found.number, found.mark) == (0.5, 1, "")
    assert found.over() == "1 agent of one seed"
    assert math.isnan(found.standard_error)
    assert not found.clear


def test_nothing_has_no_mean() -> None:
    found = mean_error([math.nan, math.nan], [0, 1])
    assert math.isnan(found.mean)
    assert (found.number, found.seeds, found.mark, found.clear) == (0, 0, "", False)


def test_values_that_are_not_numbers_are_left_out() -> None:
    assert mean_error([1.0, math.nan, 4.0, 2.0], [0, 0, 1, 2]) == mean_error([1.0, 4.0, 2.0], [0, 1, 2])
    assert mean_error([1.0, 3.0, math.nan], [0, 0, 1]).seeds == 1


def test_every_seed_counts_alike_however_many_agents_it_has() -> None:
    found = mean_error([1.0, 1.0, 1.0, 5.0], [0, 0, 0, 1])
    assert found.mean == pytest.approx(3)
    assert found.standard_error == pytest.approx(2)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_an_interval_is_clear_of_zero_by_students_t(seeds: int) -> None:
    quantile = {2: 12.7062, 3: 4.3027, 8: 2.3646}[seeds]
    assert MeanError(1.01 * quantile, 1.0, seeds, seeds).clear
    assert not MeanError(0.99 * quantile, 1.0, seeds, seeds).clear
    assert MeanError(-1.01 * quantile, 1.0, seeds, seeds).clear


def test_another_unit() -> None:
    assert MeanError(0.5, 0.1, 4, 2).times(-100) == MeanError(-50, 10, 4, 2)


@given(st.permutations(sorted(KMNIST_LIKE)))
def test_pairs_in_any_order_have_one_mean(order: list[tuple[int, int]]) -> None:
    assert paired_mean({pair: KMNIST_LIKE[pair] for pair in order}) == pytest.approx(paired_mean(KMNIST_LIKE))


def test_a_band_has_the_error_of_each_place() -> None:
    lines = {pair: np.array([value, 1.0]) for pair, value in KMNIST_LIKE.items()}
    mean, error = band(lines)
    assert mean == pytest.approx([82, 1])
    assert error == pytest.approx([math.sqrt(3), 0])


def test_a_band_has_no_error_where_one_of_several_seeds_is_known() -> None:
    lines = {(0, 0): np.array([1.0]), (0, 1): np.array([3.0]), (1, 0): np.array([np.nan])}
    assert band(lines)[1] == pytest.approx([0])
    assert band({pair: lines[pair] for pair in ((0, 0), (0, 1))})[1] == pytest.approx([1])


def draws(seeds: int, agents: int, share: float) -> list[NDArray[np.float64]]:
    """Many tables [seeds, agents] of mean 0 and variance 1, `share` of it common to the agents of a seed."""
    rng = np.random.default_rng([seeds, agents, int(100 * share)])
    common = rng.standard_normal((2000, seeds, 1)) * math.sqrt(share)
    return list(common + rng.standard_normal((2000, seeds, agents)) * math.sqrt(1 - share))


@pytest.mark.parametrize(("seeds", "share"), [(10, 0.5), (10, 0.0), (4, 0.5), (4, 0.9)])
def test_errors_and_intervals_are_right_where_agents_share_something(seeds: int, share: float) -> None:
    agents = 8
    owners = np.repeat(np.arange(seeds), agents)
    tables = draws(seeds, agents, share)
    found = [mean_error(table.ravel(), owners) for table in tables]
    truth = math.sqrt((share + (1 - share) / agents) / seeds)
    assert np.mean([one.standard_error for one in found]) == pytest.approx(truth, rel=0.15)
    covered = np.mean([abs(one.mean) < one.reach for one in found])
    assert covered == pytest.approx(0.95, abs=0.02)
    if share >= 0.5:  # what treating all agents as independent would have said
        alone = np.mean([table.std(ddof=1) / math.sqrt(table.size) for table in tables])
        assert alone < 0.55 * truth
