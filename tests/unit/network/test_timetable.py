"""When agents learn, meet, evaluate and save: one order for all, whatever the lengths of their tasks."""

import tracemalloc
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_fakes import World, from_edges, topology

from mpidcl.experiment.units import Cadence
from mpidcl.network.schedule.timetable import START, Chance, Moment, Phase, Rhythm, rhythm
from mpidcl.network.schedule.topology import Link, Topology

PUBLISHED = [(0, 0, 0, 100) + (100,) * 6] * 8


def kinds(events):
    return [(event.moment.phase, event.task, event.tick) for event in events]


def uses(world, agent):
    return Counter((e.task, n) for e in world.timetable(agent) for use in e.uses for n in use.exchanges)


# --- one agent -----------------------------------------------------------------------------------


def test_an_isolated_life():
    world = World(topology("ring", 1), [[0, 3]], rhythms=(), evaluate_every=2)
    assert kinds(world.timetable(0)) == [
        (Phase.BEGIN_TASK, 0, 0),
        (Phase.END_TASK, 0, 0),
        (Phase.BEGIN_TASK, 1, 0),
        (Phase.EVALUATE_START, 1, 0),
        (Phase.LEARN, 1, 1),
        (Phase.EVALUATE, 1, 1),
        (Phase.LEARN, 1, 2),
        (Phase.LEARN, 1, 3),
        (Phase.END_TASK, 1, 3),
        (Phase.EVALUATE, 1, 3),
        (Phase.CUT, 1, 0),
    ]


def test_an_online_stream_is_tested_at_the_ends_alone():
    world = World(topology("ring", 1), [[2, 3]], rhythms=(), evaluate_every=None)
    found = [(phase, task, tick) for phase, task, tick in kinds(world.timetable(0)) if phase is not Phase.CUT]
    learned = [
        (Phase.LEARN, 0, 1),
        (Phase.LEARN, 0, 2),
        (Phase.LEARN, 1, 1),
        (Phase.LEARN, 1, 2),
        (Phase.LEARN, 1, 3),
    ]
    assert [entry for entry in found if entry[0] is Phase.LEARN] == learned
    assert [entry for entry in found if entry[0] in (Phase.EVALUATE, Phase.EVALUATE_START)] == [
        (Phase.EVALUATE, 0, 2),
        (Phase.EVALUATE, 1, 3),
    ]


def test_evaluation_of_the_published_protocol():
    world = World(topology("ring", 1), [[100]], rhythms=(), evaluate_every=10)
    at = [e.tick for e in world.timetable(0) if e.moment.phase in (Phase.EVALUATE, Phase.EVALUATE_START)]
    assert at == [0, 1, 11, 21, 31, 41, 51, 61, 71, 81, 91, 100]


def test_everything_due_at_one_time_follows_its_phase():
    rules = (
        Rhythm("after", 1, 0, "all"), Rhythm("before", 1, 0, "all"),
        Rhythm("task start", 1, 0, "all"), Rhythm("task end", 1, 0, "all"),
    )  # fmt: skip
    world = World(topology("ring", 2), [[1, 1]] * 2, rules, evaluate_every=1)
    found = [(e.moment.phase.name, tuple(u.exchanges for u in e.uses)) for e in world.timetable(0)]
    one = [
        ("BEGIN_TASK", ()), ("BEFORE", ((1, 2),)), ("EVALUATE_START", ()), ("LEARN", ()),
        ("AFTER", ((0, 3),)), ("END_TASK", ()), ("EVALUATE", ()), ("CUT", ()),
    ]  # fmt: skip
    assert found == one + one


# --- the rhythm of an exchange -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "per_task"),
    [
        (Rhythm("before", 5, 4, "all"), 20),
        (Rhythm("before", 10, 4, "all"), 10),
        (Rhythm("before", 100, 4, "all"), 1),
        (Rhythm("after", 16, 4, "all"), 6),  # epochs 16 .. 96: one more than is charged
        (Rhythm("after", 20, 4, "all"), 5),
        (Rhythm("task start", 1, 4, "all"), 1),
        (Rhythm("before", None, 4, "all"), 1),
    ],
)
def test_counts_of_the_published_modes(rule, per_task):
    found = uses(World(topology("ring", 8), PUBLISHED, (rule,)), 3)
    assert found == {(task, 0): 2 * per_task for task in range(4, 10)}


def test_modules_start_at_task_5():
    found = uses(World(topology("line", 8), PUBLISHED, (Rhythm("task start", 1, 5, "all"),)), 0)
    assert found == {(task, 0): 1 for task in range(5, 10)}


def test_ticks_at_which_a_chunk_ends():
    rule = Rhythm("after", 16, 0, "all")
    assert [int(m.time * 100) for m in rule.moments(0, 100)] == [16, 32, 48, 64, 80, 96]
    rule = Rhythm("before", 16, 0, "all")
    assert [int(m.time * 100) for m in rule.moments(0, 100)] == [0, 16, 32, 48, 64, 80]


@given(
    st.sampled_from(["before", "after"]),
    st.integers(1, 50),
    st.integers(0, 120),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_a_partial_last_chunk_has_no_exchange(when, period, ticks, first, task):
    found = Rhythm(when, period, first, "all").moments(task, ticks)
    assert len(found) == (ticks // period if task >= first else 0)
    times = [moment.time - task for moment in found]
    assert all(time * ticks % period == 0 for time in times)
    assert {moment.phase for moment in found} <= {Phase.BEFORE if when == "before" else Phase.AFTER}
    if found:
        assert times[0] == (0 if when == "before" else Fraction(period, ticks))


def test_every_second_task():
    rule = Rhythm("task end", 2, 1, "all")
    found = [[str(moment) for moment in rule.moments(task, 3)] for task in range(5)]
    assert found == [[], ["time 2 (after)"], [], ["time 4 (after)"], []]


@pytest.mark.parametrize(
    ("when", "every", "period"),
    [
        ("before", Cadence(5, "epoch"), 5),
        ("after", Cadence(7, "tick"), 7),
        ("after", Cadence(1, "task"), None),
        ("task start", Cadence(3, "task"), 3),
        ("after", Cadence.parse("3 s"), None),
    ],
)
def test_rhythm_of_a_table(when, every, period):
    table = SimpleNamespace(when=when, every=every, share=None, from_task=None, links="near")
    assert rhythm(table, 4) == Rhythm(when, period, 4, "near", every.seconds)
    table.from_task = 0
    assert rhythm(table, 4).from_task == 0
    table.share = 0.25
    assert rhythm(table, 4, 2, 3) == Rhythm(when, 1, 0, "near", legs=2, chance=Chance(0.25, 3))


# --- both ends -----------------------------------------------------------------------------------

ticks_of_tasks = st.lists(st.integers(0, 7), min_size=1, max_size=4)
rules = st.builds(
    Rhythm,
    st.sampled_from(["before", "after", "task start", "task end"]),
    st.sampled_from([1, 2, 3, 5]),
    st.integers(0, 2),
    st.sampled_from(["all", "near", "far"]),
)


@st.composite
def networks(draw, agents):
    pairs = [(a, b) for a in range(agents) for b in range(agents) if a != b]
    edges = sorted(draw(st.sets(st.sampled_from(pairs), min_size=1)))
    classes = st.sampled_from([(), ("near",), ("far",), ("near", "far")])
    return Topology.of("any", agents, tuple(Link(n, a, b, draw(classes)) for n, (a, b) in enumerate(edges)))


@st.composite
def worlds(draw):
    agents = draw(st.integers(2, 4))
    ticks = [draw(ticks_of_tasks) for _ in range(agents)]
    return World(
        draw(networks(agents)),
        ticks,
        draw(st.lists(rules, min_size=1, max_size=3)),
        cut_every=draw(st.sampled_from([Fraction(1), Fraction(2), Fraction(1, 3), Fraction(3, 7)])),
        evaluate_every=draw(st.integers(1, 3)),
    )


@given(worlds())
def test_both_ends_expect_the_same(world):
    for link in world.network.links:
        a, b = world.timetable(link.source), world.timetable(link.target)
        assert list(a.expected(link.target)) == list(b.expected(link.source))
        assert a.expected_hash(link.target) == b.expected_hash(link.source)


@given(worlds())
def test_expected_is_what_happens(world):
    for agent in range(world.network.agents):
        timetable = world.timetable(agent)
        for neighbour in world.network.neighbours(agent):
            happened = [
                f"{e.moment.time} {e.moment.phase.name} {use.exchanges}"
                for e in timetable
                for use in e.uses
                if use.neighbour == neighbour
            ]
            assert list(timetable.expected(neighbour)) == happened


@given(worlds())
def test_meetings_are_counted_without_listing_them(world):
    for agent in range(world.network.agents):
        timetable = replace(world.timetable(agent), until=None)
        due = [{n for use in event.uses for n in use.exchanges} for event in timetable]
        for number in range(len(world.rhythms)):
            assert timetable.count(number) == sum(number in found for found in due)
            assert timetable.count(number) in timetable.meetings_of(number)


@given(worlds())
def test_events_are_strictly_ordered_and_meet_only_neighbours(world):
    for agent in range(world.network.agents):
        events = list(world.timetable(agent))
        assert all(a.moment < b.moment for a, b in pairwise(events))
        for event in events:
            others = [use.neighbour for use in event.uses]
            assert others == sorted(set(others))
            assert set(others) <= set(world.network.neighbours(agent))
        learned = Counter(e.task for e in events if e.moment.phase is Phase.LEARN)
        assert [learned[t] for t in range(len(world.ticks[agent]))] == list(world.ticks[agent])


@given(worlds())
@settings(max_examples=40)
def test_going_on_after_any_event_gives_the_rest(world):
    timetable = world.timetable(0)
    events = list(timetable)
    for number, event in enumerate(events):
        assert list(timetable.events(after=event.moment)) == events[number + 1 :]


@given(worlds())
def test_cuts_are_the_same_for_all_and_after_any_cut_the_rest_follows(world):
    cuts = [
        [e.moment for e in world.timetable(a) if e.moment.phase is Phase.CUT]
        for a in range(world.network.agents)
    ]
    assert all(row == cuts[0] for row in cuts)
    assert cuts[0][-1].time == world.timetable(0).end
    for agent in range(world.network.agents):
        events = list(world.timetable(agent))
        for cut in cuts[0]:
            before = [e for e in events if e.moment <= cut]
            assert before + list(world.timetable(agent).events(after=cut)) == events


@given(worlds(), st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(5, 4), Fraction(9)]))
def test_until_is_a_prefix_that_ends_in_a_cut(world, until):
    whole = list(world.timetable(0))
    world.until = until
    part = list(world.timetable(0))
    assert part[-1].moment == Moment(min(until, Fraction(world.timetable(0).tasks)), Phase.CUT)
    rest = [e for e in whole if e.moment > part[-1].moment]
    without = [e for e in part if e in whole]
    assert without + rest == whole
    assert len(part) - len(without) <= 1


@given(worlds(), st.lists(st.fractions(0, 3, max_denominator=7), max_size=3))
@settings(max_examples=40)
def test_cuts_that_are_agreed_on_later_change_nothing_else(world, cuts):
    before = world.timetable(0)
    now = before.with_cuts(tuple(cuts), None)
    assert now.end == before.end and now.finished
    kept = [[e for e in one if e.moment.phase is not Phase.CUT] for one in (before, now)]
    assert kept[0] == kept[1]
    assert {e.moment for e in before} <= {e.moment for e in now}
    stopped = before.with_cuts((), Fraction(1, 2))
    assert stopped.end == Fraction(1, 2) and not stopped.finished
    assert stopped.done(list(stopped)[-1]) == 0.5


# --- particular shapes ---------------------------------------------------------------------------


def test_a_meeting_is_due_when_either_end_says_so():
    world = World(topology("line", 3), [[2], [3], [2]], (Rhythm("after", 1, 0, "all"),))
    met = [(e.moment.time, [u.neighbour for u in e.uses]) for e in world.timetable(0) if e.uses]
    assert met == [(Fraction(1, 3), [1]), (Fraction(1, 2), [1]), (Fraction(2, 3), [1]), (Fraction(1), [1])]
    assert [e.tick for e in world.timetable(0) if e.uses] == [0, 1, 1, 2]  # its own ticks, done


def test_an_agent_that_is_done_answers_until_its_neighbours_are_done():
    world = World(topology("line", 3), [[1], [1, 1], [1]], (Rhythm("after", 1, 0, "all"),))
    assert [str(e.moment) for e in world.timetable(0) if e.uses] == ["time 1 (after)", "time 2 (after)"]
    assert not any(e.moment.phase is Phase.LEARN for e in world.timetable(0) if e.task == 1)
    assert [e.moment for e in world.timetable(0)][-1] == Moment(Fraction(2), Phase.CUT)


def test_joint_tasks_pass_without_ticks_meetings_or_cuts():
    world = World(topology("ring", 2), [[0, 0, 2]] * 2, (Rhythm("task start", 1, 0, "all"),))
    events = list(world.timetable(0))
    assert [e.task for e in events if e.uses] == [2]
    assert [e.moment.time for e in events if e.moment.phase is Phase.CUT] == [3]
    assert [e.task for e in events if e.moment.phase is Phase.EVALUATE_START] == [2]


def test_link_classes_choose_the_neighbours():
    links = (Link(0, 0, 1, ("near",)), Link(1, 1, 0), Link(2, 0, 2), Link(3, 2, 0))
    rules = (Rhythm("after", 1, 0, "near"), Rhythm("after", 2, 0, "all"))
    world = World(Topology.of("any", 3, links), [[2]] * 3, rules)
    met = [[(u.neighbour, u.exchanges) for u in e.uses] for e in world.timetable(0) if e.uses]
    assert met == [[(1, (0,))], [(1, (0, 1)), (2, (1,))]]
    assert [[u.exchanges for u in e.uses] for e in world.timetable(2) if e.uses] == [[(1,)]]


def test_one_way_links_are_known_at_both_ends():
    world = World(from_edges(2, [(0, 1)]), [[1], [2]], (Rhythm("before", 1, 0, "all"),))
    assert list(world.timetable(0).expected(1)) == ["0 BEFORE (0,)", "1/2 BEFORE (0,)"]
    assert list(world.timetable(1).expected(0)) == ["0 BEFORE (0,)", "1/2 BEFORE (0,)"]


@pytest.mark.parametrize(
    ("every", "tasks", "times"),
    [
        (Fraction(1), 3, [1, 2, 3]),
        (Fraction(2), 3, [2, 3]),
        (Fraction(5), 3, [3]),
        (Fraction(1, 2), 2, [Fraction(1, 2), 1, Fraction(3, 2), 2]),
        (Fraction(2, 3), 2, [Fraction(2, 3), Fraction(4, 3), 2]),
    ],
)
def test_cuts(every, tasks, times):
    world = World(topology("ring", 1), [[2] * tasks], (), cut_every=every)
    assert [e.moment.time for e in world.timetable(0) if e.moment.phase is Phase.CUT] == times


def test_a_cut_just_before_the_end_is_kept():
    """Cuts are counted: none may be left out by one agent that another has passed."""
    world = World(topology("ring", 1), [[6000]], (), cut_every=Fraction(1, 3), until=Fraction(2001, 6000))
    assert [e.moment.time for e in world.timetable(0) if e.moment.phase is Phase.CUT] == [
        Fraction(1, 3), Fraction(667, 2000),
    ]  # fmt: skip


def test_a_long_task_is_never_written_down():
    """100,000 ticks with a meeting at each: what is due next is found from numbers alone."""
    ticks = [[10**5], [10**5 - 1], [10**5], [10**5 // 2]]
    world = World(topology("ring", 4), ticks, (Rhythm("after", 1, 0, "all"),), evaluate_every=1000)
    tracemalloc.start()
    try:
        events = world.timetable(0).events()
        first = [next(events) for _ in range(5)]
        late = next(world.timetable(0).events(after=Moment(Fraction(3, 4), Phase.LEARN)))
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [event.moment.phase for event in first[:3]] == [
        Phase.BEGIN_TASK,
        Phase.EVALUATE_START,
        Phase.LEARN,
    ]
    assert late.moment == Moment(Fraction(3, 4), Phase.AFTER) and late.uses
    assert held < 2**20


def test_a_hash_of_what_determines_the_meetings_of_two_ends():
    rules = (Rhythm("before", 2, 0, "all"), Rhythm("after", 3, 1, "all"))
    one = World(topology("line", 3), [[4, 4], [6, 6], [4, 4]], rules)
    assert one.timetable(0).expected_hash(1) == one.timetable(1).expected_hash(0)
    assert one.timetable(0).expected_hash(1) == one.timetable(1).expected_hash(2)  # ticks, not names
    for ticks, rhythms in (([[4, 4], [6, 5], [4, 4]], rules), (one.ticks, rules[:1])):
        other = World(topology("line", 3), ticks, rhythms)
        assert one.timetable(0).expected_hash(1) != other.timetable(0).expected_hash(1)


def test_moments_are_said_in_words():
    assert str(Moment(Fraction(5, 2), Phase.BEGIN_TASK)) == "time 2.5 (begin task)"
    assert Moment(Fraction(0), Phase.LEARN) > START


def test_no_tasks_no_events():
    assert list(World(topology("ring", 1), [[]], ()).timetable(0)) == []
