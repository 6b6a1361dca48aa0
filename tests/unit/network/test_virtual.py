"""The clock `virtual`: what a tick waits for is what the ordered rule says, whatever one begins with."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from network_fakes import World, digests, fake, from_edges, topology, virtual

from mpidcl.errors import DeadlockError, RequestError
from mpidcl.network.frames.conditions import shortest_way
from mpidcl.network.schedule.timetable import START, Chance, Moment, Phase, Rhythm
from mpidcl.network.schedule.virtual_timetable import VirtualTimetable

EVERY = Rhythm("after", 1, 0, "all")
RULES = {
    "every": [EVERY],
    "rarely": [Rhythm("after", 3, 0, "all")],
    "two": [Rhythm("after", 2, 0, "all"), Rhythm("task end", 1, 0, "all")],
    "seconds": [Rhythm("after", None, 0, "all", 2.5)],
    "answers": [Rhythm("after", 4, 0, "all", legs=2)],
    "share": [
        Rhythm("after", 1, 1, "all", chance=Chance(0.4, 0)),
        Rhythm("after", 1, 0, "all", chance=Chance(0.2, 1)),
    ],
    "answers by chance": [Rhythm("after", 1, 0, "all", legs=2, chance=Chance(0.3, 0))],
}
LINKS = {
    "ring": topology("ring", 4),
    "late": topology("ring", 4, conditions={"latency": "700 ms", "bandwidth": "400 B/s"}),
    "one way": from_edges(4, [(0, 1), (1, 2), (2, 0), (3, 0)], latency=0.5),
}
CLOCKS = {
    "poisson": {"rates": [1.0, 0.3, 2.0, 1.0]},
    "ties": {"rates": [1.0, 0.5, 2.0, 1.0], "ticks": "regular"},
    "log-normal": {"ticks": "log-normal", "spread": 1.0},
}
TICKS = [[4, 5], [3], [6, 1, 7], [0, 0, 9]]


def world(clock="poisson", links="late", rules="every", **keys):
    rhythms = RULES[rules]
    makes = [fake(rule.legs) for rule in rhythms]
    return World(LINKS[links], TICKS, rhythms, makes, clock=virtual(3, **CLOCKS[clock]), **keys)


def lives(of):
    return [list(of.timetable(agent).events()) for agent in range(4)]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("links", LINKS)
@pytest.mark.parametrize("clock", CLOCKS)
def test_a_tick_waits_for_the_frames_of_the_ordered_rule(clock, links, rules):
    """Word for word: every frame with (t + least, j) < (s, i); a cut for every frame with t <= c."""
    of = world(clock, links, rules, cut_every=Fraction(33, 10))
    events = lives(of)
    left = {}  # link -> times at which frames leave
    for agent, life in enumerate(events):
        for event in life:
            for use in event.uses:
                left.setdefault((agent, use.neighbour), []).append(event.moment.time)
    waited = 0
    for agent, life in enumerate(events):
        got = Counter()
        for event in life:
            if event.moment.phase not in (Phase.ARRIVE, Phase.CUT):
                assert not event.due
                continue
            got.update(dict(event.due))
            time = event.moment.time
            for other, link in of.network.incoming(agent).items():
                ways, least = left.get((other, agent), []), shortest_way(link)
                if event.moment.phase is Phase.CUT:
                    expected = sum(t <= time for t in ways)
                else:
                    expected = sum((t + least, other) < (time, agent) for t in ways)
                    expected = max(expected, sum(t <= last for t in ways for last in cuts(life, time)[-1:]))
                assert got[other] == expected
                waited += 1
        for other in of.network.incoming(agent):
            assert got[other] == len(left.get((other, agent), []))
    assert waited


def cuts(life, before):
    return [e.moment.time for e in life if e.moment.phase is Phase.CUT and e.moment.time < before]


@pytest.mark.parametrize("clock", CLOCKS)
def test_every_agent_learns_all_its_tasks_and_stays_to_the_end(clock):
    of = world(clock)
    for agent, life in enumerate(lives(of)):
        learned = Counter(e.task for e in life if e.moment.phase is Phase.LEARN)
        assert learned == {task: count for task, count in enumerate(TICKS[agent]) if count}
        begun = [e.task for e in life if e.moment.phase is Phase.BEGIN_TASK]
        ended = [e.task for e in life if e.moment.phase is Phase.END_TASK]
        assert begun == ended == list(range(len(TICKS[agent])))
        assert life[-1].moment == Moment(of.timetable(agent).end, Phase.CUT)
        assert [e.moment for e in life] == sorted({e.moment for e in life})
    last = [max(e.moment.time for e in life if e.moment.phase is Phase.LEARN) for life in lives(of)]
    assert 0 <= of.timetable(0).end - Fraction(max(last)) < Fraction(1, 1000)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("clock", CLOCKS)
def test_the_rest_after_any_cut_is_the_rest(clock, rules):
    of = world(clock, rules=rules, cut_every=Fraction(2))
    for agent, life in enumerate(lives(of)):
        for place, event in enumerate(life):
            if event.moment.phase is Phase.CUT:
                fresh = replace(of, clock=virtual(3, **CLOCKS[clock]))
                assert list(fresh.timetable(agent).events(event.moment)) == life[place + 1 :]


def test_cuts_that_are_agreed_on_later_come_in_order_and_once():
    of = world(cut_every=Fraction(4))
    times = (Fraction(1, 3), Fraction(4), Fraction(9))
    found = of.timetable(1).with_cuts(times, Fraction(10))
    at = [e.moment.time for e in found.events() if e.moment.phase is Phase.CUT]
    assert at == [Fraction(1, 3), 4, 8, 9, 10] and not found.finished


def test_seconds_are_counted_over_all_tasks():
    of = world(rules="seconds")
    for agent in range(4):
        ticks = [e.moment.time for e in of.timetable(agent).events() if e.moment.phase is Phase.ARRIVE]
        sent = [e.moment.time for e in of.timetable(agent).events() if e.uses]
        periods = [int(t // 2.5) for t in ticks]
        new = [t for t, now, before in zip(ticks, periods, [0, *periods], strict=False) if now > before]
        assert sent == new and sent


def test_both_ends_expect_the_same_and_other_seeds_other_things():
    of, other = world(), replace(world(), clock=virtual(4, **CLOCKS["poisson"]))
    for agent in range(4):
        for neighbour in of.network.neighbours(agent):
            mine, theirs = of.timetable(agent), of.timetable(neighbour)
            assert mine.expected_hash(neighbour) == theirs.expected_hash(agent)
            assert list(mine.expected(neighbour)) == list(theirs.expected(agent))
            assert mine.expected_hash(neighbour) != other.timetable(neighbour).expected_hash(agent)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("links", LINKS)
def test_it_runs_and_evaluates_where_lockstep_would(clock, links):
    of = world(clock, links, "answers" if links == "late" else "every")
    records = of.in_process()
    for agent, record in records.items():
        tasks = [count for count in TICKS[agent] if count]
        at = Counter(row.task for row in record.evaluations if row.tick)
        assert [at[task] for task, count in enumerate(TICKS[agent]) if count] == [
            len({t for t in range(1, count + 1) if (t - 1) % 10 == 0 or t == count}) for count in tasks
        ]
    assert digests(records) == digests(replace(of, clock=virtual(3, **CLOCKS[clock])).in_process())


def test_a_rule_that_waits_for_more_is_found_to_be_wrong(monkeypatch):
    """With equal times "every frame that left at or before s - least" is a circle of waiting."""
    of = World(topology("ring", 3), [[3]] * 3, clock=virtual(ticks="regular"))
    of.in_process()

    def literally(self, times):
        found = [uses.counts(times, least, True) for _, uses, least in self._sources]
        return [list(column) for column in zip(*found, strict=True)]

    monkeypatch.setattr(VirtualTimetable, "_left", literally)
    with pytest.raises(DeadlockError, match="nothing can arrive any more"):
        of.in_process()


def test_a_rule_that_waits_for_less_is_found_to_be_wrong(monkeypatch):
    """Frames of the last second that are not waited for are still there when the run ends."""
    of = world("ties", "ring")
    expected = digests(of.in_process())
    monkeypatch.setattr(
        VirtualTimetable, "_left", lambda self, times: [[0] * len(self._sources) for _ in times]
    )
    assert digests(world("ties", "ring").in_process()) != expected


def test_events_after_a_moment_are_asked_for_lazily():
    ticks = [[10_000_000]]
    of = World(topology("ring", 1), ticks, clock=virtual())
    assert next(of.timetable(0).events(START)).moment == Moment(0.0, Phase.BEGIN_TASK)
    late = of.timetable(0).events(Moment(Fraction(9_000_000), Phase.CUT))
    assert next(late).moment.time > 9_000_000


def test_an_agent_that_expects_other_frames_is_refused():
    of = world()
    agents = of.agents()
    agents[1].timetable = replace(of, ticks=[[4, 5], [4], [6, 1, 7], [0, 0, 9]]).timetable(1)
    from mpidcl.errors import ExperimentError
    from mpidcl.network.inprocess import InProcessDriver

    with pytest.raises((ExperimentError, RequestError), match="should expect the same"):
        InProcessDriver().drive({n: a.live() for n, a in agents.items()})


@pytest.mark.parametrize("clock", CLOCKS)
def test_all_agents_can_be_tested_at_the_same_times(clock):
    """Multiples of 2 s, also where a tick that is followed by a test is at one, and after a stop."""
    of = world(clock, evaluate_every=Fraction(2), cut_every=Fraction(3))
    for agent, life in enumerate(lives(of)):
        at = [e.moment.time for e in life if e.moment.phase is Phase.EVALUATE]
        ends = [e.moment.time for e in life if e.moment.phase is Phase.END_TASK and e.tick]
        regular = range(2, int(of.timetable(agent).end) + 1, 2)
        assert at == sorted({*regular, *ends})
        cut = next(e.moment for e in life if e.moment.phase is Phase.CUT and e.moment.time == 6)
        rest = [e.moment for e in of.timetable(agent).events(cut) if e.moment.phase is Phase.EVALUATE]
        assert rest == [e.moment for e in life if e.moment.phase is Phase.EVALUATE and e.moment > cut]
    assert of.in_process()


def test_who_shares_nothing_and_has_learned_all_comes_to_the_end():
    """It ticks on, and nothing is due at its ticks."""
    of = World(from_edges(2, []), [[3], [40]], [], [], clock=virtual(1))
    life = list(of.timetable(0).events())
    assert life[-1].moment == Moment(of.timetable(1).end, Phase.CUT) and of.in_process()
    (last, *_) = sorted((e.moment for e in life if e.moment.phase is Phase.LEARN), reverse=True)
    assert sum(e.moment.phase is Phase.CUT and e.moment > last for e in life) > 3
