"""When agents tick: rates, laws of the intervals, and the same ticks from wherever one begins to look."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mpidcl.network.schedule.ticks import WINDOW, Absences, LogNormal, Poisson, Regular

KINDS = {
    "poisson": lambda seed, agent, rate: Poisson(seed, agent, rate),
    "regular": lambda seed, agent, rate: Regular(seed, agent, rate),
    "log-normal": lambda seed, agent, rate: LogNormal(seed, agent, rate, spread=0.7),
}


def times(ticks, windows=40):
    return np.concatenate([ticks.window(number) for number in range(windows)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.02, 3.0])
def test_ticks_are_in_order_and_as_many_as_the_rate_says(kind, rate):
    found = times(KINDS[kind](1, 5, rate))
    assert (np.diff(found) > 0).all() and found[0] > 0
    count = len(found)
    assert count / found[-1] == pytest.approx(rate, rel=4 / np.sqrt(count))


def test_intervals_are_exponential_and_agents_are_independent():
    first, second = (times(Poisson(3, agent, 2.0)) for agent in (0, 1))
    assert stats.kstest(np.diff(first), "expon", args=(0, 0.5)).pvalue > 0.001
    counts = [np.histogram(one, np.arange(0, 5000))[0] for one in (first, second)]
    assert abs(np.corrcoef(counts)[0, 1]) < 4 / np.sqrt(5000)
    assert stats.chisquare(np.bincount(counts[0], minlength=9)[:7]).pvalue < 0.001  # it can fail
    expected = stats.poisson.pmf(np.arange(7), 2.0)
    seen = np.bincount(counts[0], minlength=7)[:7]
    assert stats.chisquare(seen, expected / expected.sum() * seen.sum()).pvalue > 0.001


def test_steps_have_a_log_normal_time_of_the_mean_that_was_asked_for():
    steps = np.diff(times(LogNormal(2, 0, 4.0, spread=0.7), 60), prepend=0.0)
    assert stats.kstest(np.log(steps), "norm", args=(-np.log(4.0) - 0.7**2 / 2, 0.7)).pvalue > 0.001


def test_regular_ticks_of_two_agents_are_at_equal_times():
    assert np.array_equal(times(Regular(0, 0, 3.0)), times(Regular(9, 7, 3.0)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_the_same_whatever_was_seen_before(kind):
    all_seen, fresh = KINDS[kind](4, 2, 1.5), KINDS[kind](4, 2, 1.5)
    expected = [all_seen.window(number).copy() for number in range(9)]
    assert np.array_equal(fresh.window(8), expected[8])
    assert fresh.before(8) == sum(map(len, expected[:8]))
    assert np.array_equal(fresh.window(3), expected[3])
    tick = sum(map(len, expected[:5])) + 7
    assert fresh.time_of(tick) == expected[5][6]


@pytest.mark.parametrize("kind", KINDS)
def test_the_window_of_a_time_is_not_behind_it(kind):
    ticks = KINDS[kind](4, 2, 1.5)
    for time in (0.0, 0.1, 341.3, 1000.0, float(ticks.window(3)[-1])):
        number = ticks.at(time)
        assert number == 0 or ticks.window(number - 1)[-1] < time
        assert ticks.ends(number) >= ticks.window(number)[-1]
        assert ticks.window(number + 1)[0] >= ticks.ends(number)


def test_another_seed_has_other_ticks():
    assert not np.array_equal(Poisson(0, 0, 1.0).window(0), Poisson(1, 0, 1.0).window(0))
    assert WINDOW / 2 < len(Poisson(0, 0, 1.0).window(0)) < 2 * WINDOW


# --- absences ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_an_agent_is_away_for_the_share_and_the_mean_time_that_were_asked_for(share):
    absences = Absences(2, 0, share, 5.0)
    times = np.arange(0, 400_000) / 10
    away = absences.of(times)
    changes = np.flatnonzero(np.diff(away.astype(int)))
    lengths = np.diff(changes)[(0 if away[changes[0] + 1] else 1) :: 2] / 10
    assert away.mean() == pytest.approx(share, abs=4 * np.sqrt(share / len(lengths)))
    assert lengths.mean() == pytest.approx(5.0, rel=0.02 + 4 / np.sqrt(len(lengths)))


def test_absences_are_the_same_wherever_one_begins_to_look():
    times = np.sort(np.random.default_rng(0).random(3000) * 20_000)
    whole = Absences(7, 3, 0.3, 4.0).of(times)
    fresh = Absences(7, 3, 0.3, 4.0)
    assert [fresh.at(time) for time in times[::-10]] == whole[::-10].tolist()
    assert not np.array_equal(Absences(8, 3, 0.3, 4.0).of(times), whole)


def test_listed_absences_are_half_open():
    absences = Absences(0, 0, 0.0, 1.0, [(5.0, 7.0), (1.0, 2.0)])
    assert absences.of(np.array([0.9, 1.0, 1.9, 2.0, 5.0, 6.9, 7.0])).tolist() == [0, 1, 1, 0, 1, 1, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_away_does_not_tick(kind):
    absences = Absences(1, 0, 0.5, 20.0)
    mine = {"poisson": Poisson, "regular": Regular, "log-normal": LogNormal}[kind](1, 0, 2.0, absences)
    all_ticks, found = times(KINDS[kind](1, 0, 2.0), 20) if kind != "log-normal" else None, times(mine, 20)
    assert not absences.of(found).any()
    if all_ticks is not None:
        assert np.array_equal(found, all_ticks[~absences.of(all_ticks)])
    assert mine.before(20) == len(found) and mine.time_of(100) == found[99]
    assert mine.until(float(found[99])) == 100
