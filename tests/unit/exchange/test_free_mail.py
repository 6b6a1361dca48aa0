"""Mail that waits for nothing: all is handled or counted, in order, up to the last frame of each link."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import pytest
from network_fakes import World, fake, free, from_edges, topology

from mpidcl.errors import DeadlockError, FrameError
from mpidcl.exchange import arrival_log, free_mail
from mpidcl.exchange.free_mail import Stamp
from mpidcl.network.frames.conditions import is_lost
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.mailbox import MOST
from mpidcl.network.requests import Arrived, Pulse
from mpidcl.network.schedule.timetable import Rhythm

EVERY = Rhythm("after", 1, 0, "all")
ANSWERED = Rhythm("after", 3, 0, "all", legs=2)
EVERY_HALF = Fraction(1, 2)
TICKS = [[4, 5], [3], [6, 1, 7], [0, 0, 9]]


def world(rule=EVERY, ticks=TICKS, network=None, log=None, **keys):
    network = topology("ring", len(ticks)) if network is None else network
    return World(network, ticks, [rule], [fake(rule.legs, log=log)], clock=free(), **keys)


def driven(agents):
    return InProcessDriver().drive({number: agent.live() for number, agent in agents.items()})


def rows(record, name):
    columns = {key: values.tolist() for key, values in record.tables.get(name, {}).items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def mail(record):
    return {row["source"]: row for row in rows(record, "mail")}


def frames(record, target):
    return sum(row.frames for row in record.ledger if row.kind == "frame" and row.target == target)


@pytest.mark.parametrize("rule", [EVERY, ANSWERED])
def test_every_frame_is_handled_once_and_in_order(rule):
    records = world(rule).in_process()
    for agent, record in records.items():
        handled = defaultdict(list)
        for row in rows(record, "arrivals"):
            handled[row["source"]].append((row["number"], row["left"], row["tick"]))
        for source, each in handled.items():
            assert [number for number, _, _ in each] == list(range(frames(records[source], agent)))
            assert [left for _, left, _ in each] == sorted(left for _, left, _ in each)
            assert [tick for _, _, tick in each] == sorted(tick for _, _, tick in each)
            assert max(tick for _, _, tick in each) <= sum(TICKS[agent])
            assert mail(record)[source]["frames"] == len(each)
        assert set(handled) == {(agent - 1) % 4, (agent + 1) % 4}


def test_what_is_lost_is_what_the_condition_says():
    network = topology("complete", 2, conditions={"loss": "30 %"})
    records = world(ticks=[[80], [80]], network=network).in_process()
    lost = sum(is_lost(0, network.outgoing(0)[1], number) for number in range(81))
    row = mail(records[1])[0]
    assert row["lost"] == lost and 10 < lost < 40 and row["frames"] == 81
    empty = int(not is_lost(0, network.outgoing(0)[1], 80))  # the last frame says nothing
    assert row["messages"] + row["late"] == 81 - lost - empty


def test_a_slow_agent_blocks_nobody_and_what_it_cannot_take_is_left_out():
    log = []
    agents = world(ticks=[[300], [1]], network=topology("complete", 2), log=log).agents()
    fast = agents[0].learner

    def slow(task, tick):
        while len([entry for entry in fast.log if entry[0] == "learn"]) < 300:
            yield Pulse()

    agents[1].learner.learn = slow
    records = driven(agents)
    row = mail(records[1])[0]
    assert (row["frames"], row["skipped"]) == (301, 300 - MOST)
    assert len([entry for entry in log if entry[:2] == ("ask", 0)]) == 300 - row["skipped"]
    assert frames(records[0], 1) == 301 - row["skipped"]


def test_nobody_answers_what_is_asked_after_its_last_frame():
    log = []
    records = world(ANSWERED, [[60], [6]], topology("complete", 2), log).in_process()
    asked = [entry for entry in log if entry[:3] == ("ask", 0, 1)]
    answered = [entry for entry in log if entry[:3] == ("answer", 1, 0)]
    row = mail(records[1])[0]
    assert len(asked) == 20 and 0 < len(answered) < 20 and row["unanswered"] > 10
    assert row["unanswered"] + row["late"] + len(answered) == 20
    assert mail(records[0])[1]["messages"] > 0


def test_one_way_links_agents_without_tasks_and_links_of_no_exchange():
    network = from_edges(4, [(0, 1), (1, 2), (2, 0)])
    records = world(ticks=[[3], [0], [5], [2]], network=network).in_process()
    assert {n: {s: row["frames"] for s, row in mail(r).items()} for n, r in records.items()} == {
        0: {2: 6}, 1: {0: 4}, 2: {1: 1}, 3: {}
    }  # fmt: skip
    unused = world(Rhythm("after", 1, 0, "other"), ticks=[[3], [3]], network=topology("complete", 2))
    assert not any(mail(record) for record in unused.in_process().values())


def test_ages_are_ticks_of_the_sender_behind_the_newest():
    """Agent 0 speaks at every third tick, and answers may leave at the others, so frames say what is new."""
    records = world(ANSWERED, [[60], [6]], topology("complete", 2)).in_process()
    for agent, record in records.items():
        ages = rows(record, "ages")
        assert sum(row["messages"] for row in ages) == mail(record)[1 - agent]["messages"]
        assert mail(record)[1 - agent]["age"] >= 0


def resumed(ticks, cut_every, network=None, **keys):
    """For each cut the records of a run that went on there, and the states it went on from."""
    saved = defaultdict(dict)

    def save(agent, cut, state):
        saved[cut][agent] = state

    world(ticks=ticks, network=network, cut_every=cut_every, save=save, **keys).in_process()
    for cut, states in sorted(saved.items())[:-1]:
        agents = world(ticks=ticks, network=network, cut_every=cut_every).agents()
        for number, agent in agents.items():
            agent.load(states[number], cut)
        yield states, driven(agents)


def test_a_run_that_goes_on_counts_the_frames_that_were_on_their_way():
    """At half of its task agent 0 has sent more frames than agent 1 has handled at half of its own."""
    ((states, records),) = resumed([[40], [2]], EVERY_HALF, topology("complete", 2))
    sent = states[0]["meetings"]["numbers"]["0"]
    heard = states[1]["meetings"]["free"]["next"].get("0", 0)
    row = mail(records[1])[0]
    assert sent == 20 and heard < 20
    assert row["lost"] == sent - heard and row["frames"] == 41
    numbers = [row["number"] for row in rows(records[1], "arrivals")]
    assert numbers == [*range(heard), *range(20, 41)]


def test_a_neighbour_that_was_ahead_may_go_back():
    """Agent 1 has heard more at its checkpoint than agent 0 had sent at its own: that comes again."""
    for states, records in resumed([[2, 2], [40, 40]], 1, topology("complete", 2)):
        heard = states[0]["meetings"]["free"]["next"].get("1", 0)
        assert mail(records[0])[1]["messages"] > 0 and heard <= 81
        assert records[0].evaluations and records[1].evaluations


def test_up_to_a_stop_nothing_is_lost():
    saved = {}

    def save(agent, cut, state):
        saved[agent] = cut, state

    first = world(cut_every=10, save=save, until=EVERY_HALF * 3)
    first.in_process()
    agents = world(cut_every=10).agents()
    for number, agent in agents.items():
        agent.load(saved[number][1], saved[number][0])
    records = driven(agents)
    for agent, record in records.items():
        for source, row in mail(record).items():
            assert row["lost"] == 0 and row["frames"] == frames(records[source], agent)


@pytest.mark.parametrize("wrong", [{"tick": -1}, {"seconds": float("nan")}, {"fate": 7}, {"skipped": -2}])
def test_a_stamp_that_cannot_be_is_refused(monkeypatch, wrong):
    entry = Stamp.entry
    monkeypatch.setattr(Stamp, "entry", lambda stamp: entry(stamp._replace(**wrong)))
    with pytest.raises(FrameError, match="frame 0: its stamp should count ticks, seconds and frames from 0"):
        world(ticks=[[3], [3]], network=topology("complete", 2)).in_process()


def test_a_neighbour_that_is_gone_is_named():
    agents = world(ticks=[[3], [3]], network=topology("complete", 2)).agents()
    mail_of_1 = agents[1].meetings

    def says_nothing(event):
        while links := mail_of_1._listening():
            mail_of_1._handle_all((yield Arrived(event.moment, links, wait=True)), event)

    mail_of_1._say_farewell = says_nothing  # type: ignore[method-assign]
    with pytest.raises(DeadlockError, match=r"agent 0 at time 1 \(cut\): waits for the last frame on link 1"):
        driven(agents)


def test_the_log_has_a_bound(monkeypatch):
    monkeypatch.setattr(arrival_log, "MOST_ROWS", 7)
    record = world(ticks=[[30], [30]], network=topology("complete", 2)).in_process()[0]
    assert len(rows(record, "arrivals")) == 7 and mail(record)[1]["frames"] == 31


def test_a_budget_holds_the_stamp():
    of = world(ticks=[[3], [3]], network=topology("complete", 2))
    least = of.agents()[0].meetings.byte_range(0, 1, None).least
    need = least + 48 + free_mail.FreeMail._more_head_bytes
    enough = replace(of, network=topology("complete", 2, budget=f"{need} B"))
    for agent in enough.agents().values():
        agent.meetings.check()
    enough.in_process()
