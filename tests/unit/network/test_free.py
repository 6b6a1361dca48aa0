"""The clock `free`: the ticks of lockstep without its meetings, a farewell, and frames nobody waits for."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_fakes import World, fake, free, from_edges, topology

from mpidcl.errors import RequestError
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Arrived
from mpidcl.network.schedule.lockstep import LockstepTimetable
from mpidcl.network.schedule.timetable import START, Moment, Phase, Rhythm

RULES = [Rhythm("after", 3, 1, "all"), Rhythm("task end", 2, 0, "all"), Rhythm("after", None, 0, "all")]
MAIL = {Phase.ARRIVE, Phase.AFTER}
ROWS = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3), min_size=2, max_size=3)
CUTS = st.fractions(Fraction(1, 4), 2, max_denominator=6)


def world(rows, rules=RULES, **keys):
    makes = [fake(rule.legs) for rule in rules]
    return World(topology("complete", len(rows)), rows, rules, makes, clock=free(), **keys)


@given(ROWS, CUTS, st.sampled_from([None, 1, 2]))
def test_ticks_tests_and_cuts_are_those_of_lockstep_alone(rows, every, test_every):
    of = world(rows, cut_every=every, evaluate_every=test_every)
    for agent in range(len(rows)):
        alone = LockstepTimetable(agent, of.network, (), rows, test_every, every)
        mine = [event for event in of.timetable(agent).events() if event.moment.phase not in MAIL]
        found = [(e.moment, e.task, e.tick) for e in mine if e.moment.phase is not Phase.CUT]
        own = [e for e in alone.events() if e.moment.phase is not Phase.CUT]
        assert found == [(e.moment, e.task, e.tick) for e in own]
        cuts = [event.moment.time for event in mine if event.moment.phase is Phase.CUT]
        end = max(map(len, rows))
        assert cuts == [*(n * every for n in range(1, 100) if n * every < end), end]


@given(ROWS)
def test_frames_leave_when_an_exchange_is_due(rows):
    of = world(rows)
    for agent, row in enumerate(rows):
        found = {(e.moment, n) for e in of.timetable(agent).events() for use in e.uses for n in use.exchanges}
        assert found == {
            (moment, number)
            for number, rule in enumerate(RULES)
            for task, ticks in enumerate(row)
            for moment in rule.moments(task, ticks)
        }
        counts = [of.timetable(agent).meetings_of(number) for number in range(3)]
        assert counts == [{sum(n == number for _, n in found)} for number in range(3)]


@given(ROWS, CUTS)
def test_after_any_event_comes_the_rest(rows, every):
    timetable = world(rows, cut_every=every).timetable(0).with_cuts((Fraction(2, 7),), None)
    whole = list(timetable.events())
    assert [event.moment for event in whole] == sorted({event.moment for event in whole})
    for place, event in enumerate(whole):
        assert list(timetable.events(after=event.moment)) == whole[place + 1 :]


def test_only_the_last_cut_says_farewell():
    cuts = [e for e in world([[4, 4], [2]]).timetable(1).events(START) if e.moment.phase is Phase.CUT]
    assert [(bool(cut.uses), bool(cut.due)) for cut in cuts] == [(False, False), (True, True)]
    until = world([[4, 4], [2]], until=Fraction(3, 2)).timetable(0)
    last = list(until.events())[-1]
    assert last.moment == Moment(Fraction(3, 2), Phase.CUT) and (last.task, last.tick) == (1, 2)
    assert last.uses and not until.finished


def test_where_answers_may_leave_every_tick_sends():
    of = world([[4], [4]], [Rhythm("after", 4, 0, "all", legs=2)])
    sends = [e.tick for e in of.timetable(0).events() if e.moment.phase is Phase.AFTER]
    assert sends == [1, 2, 3, 4]


def test_both_ends_know_which_links_carry_frames():
    links = from_edges(3, [(0, 1), (1, 2), (2, 1)])
    of = World(links, [[2]] * 3, [Rhythm("after", 1, 0, "all")], clock=free())
    assert of.timetable(0).expected_hash(1) == of.timetable(1).expected_hash(0)
    assert list(of.timetable(1).expected(2)) == ["free link 1 -> 2 (0,)", "free link 2 -> 1 (0,)"]


def test_an_agent_that_leaves_a_link_open_is_told():
    link = from_edges(2, [(0, 1)]).outgoing(0)[1]

    def forgets():
        assert (yield Arrived("now", (link,))) == []

    with pytest.raises(RequestError, match="until the last of each link has come. Found none on link 0 -> 1"):
        InProcessDriver().drive({1: forgets()})
