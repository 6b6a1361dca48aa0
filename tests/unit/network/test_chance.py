"""Exchanges by chance: each tick with the same probability, drawn once, wherever one begins."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from network_fakes import World, fake, free, topology, virtual

from mpidcl.network.schedule.chance import drawn
from mpidcl.network.schedule.timetable import Chance, Phase, Rhythm

TICKS, BLOCK = 40_000, 512


def test_any_part_is_that_of_the_whole():
    whole = drawn(3, 1, Chance(0.3, 0), 1, 4 * BLOCK)
    assert len(whole) == 4 * BLOCK and not len(drawn(3, 1, Chance(0.3, 0), 5, 0))
    for first, count in [(1, 1), (BLOCK - 1, 1), (BLOCK, 1), (BLOCK, BLOCK), (700, 1200)]:
        assert np.array_equal(drawn(3, 1, Chance(0.3, 0), first, count), whole[first - 1 : first - 1 + count])


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_as_many_as_the_share_says_and_none_that_knows_of_another(share):
    """Counts, and products of neighbours, seeds, agents and exchanges, within 4.5 standard deviations."""
    rows = [
        drawn(seed, agent, Chance(share, n), 1, TICKS)
        for seed, agent, n in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    ]
    for row in rows:
        assert abs(row.mean() - share) < 4.5 * np.sqrt(share * (1 - share) / TICKS)
    centred = [row - share for row in rows]
    pairs = [(centred[0][1:], centred[0][:-1]), *((centred[0], other) for other in centred[1:])]
    for one, other in pairs:
        assert abs((one * other).mean()) < 4.5 * share * (1 - share) / np.sqrt(TICKS - 1)


def test_one_is_every_tick_and_a_larger_share_has_all_of_a_smaller_one():
    assert drawn(0, 0, Chance(1.0, 0), 1, 1000).all()
    small, large = (drawn(0, 0, Chance(share, 0), 1, 1000) for share in (0.2, 0.4))
    assert not (small & ~large).any()


def test_thinned_poisson_ticks_are_poisson():
    """Intervals between frames have mean 1 / (rate share), and a deviation as large."""
    rule = Rhythm("after", 1, 0, "all", chance=Chance(0.25, 0))
    of = World(topology("ring", 2), [[8000]] * 2, [rule], clock=virtual(5, rates=[2.0, 2.0]))
    sent = np.array([e.moment.time for e in of.timetable(0).events() if e.uses])
    gaps = np.diff(sent)
    assert abs(gaps.mean() * 0.5 - 1) < 4.5 / np.sqrt(len(gaps))
    assert abs(gaps.std() / gaps.mean() - 1) < 4.5 / np.sqrt(len(gaps))
    assert of.timetable(0).meetings_of(0) == {len(sent)}


def test_under_free_the_same_ticks_are_drawn_task_by_task():
    rules = [Rhythm("after", 1, 1, "all", chance=Chance(0.3, 0))]
    rows = [[7, 600, 0, 5], [3, 2]]
    of = World(topology("ring", 2), rows, rules, [fake()], clock=free(), cut_every=Fraction(1, 2))
    life = list(of.timetable(0).events())
    found = [(e.task, e.tick) for e in life if e.moment.phase is Phase.AFTER]
    mask = drawn(0, 0, rules[0].chance, 1, 612)
    numbers = [(task, tick) for task, ticks in enumerate(rows[0]) for tick in range(1, ticks + 1)]
    assert found == [one for one, due in zip(numbers, mask, strict=True) if due and one[0] >= 1] and found
    assert of.timetable(0).meetings_of(0) == {len(found)}
    late = life[300].moment
    assert list(of.timetable(0).events(late)) == life[301:]
    assert [e.moment for e in replace(of.timetable(0), seed=1).events()] != [e.moment for e in life]
