"""Mail: what is handled when, which message counts, what is lost, skipped, answered, kept over a stop."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from network_fakes import World, digests, fake, topology, virtual

from mpidcl.errors import ExperimentError, FrameError
from mpidcl.exchange import mail
from mpidcl.exchange.base import ByteRange, Exchange
from mpidcl.exchange.mail import STAMP_BYTES
from mpidcl.network.frames.conditions import is_lost, jitter
from mpidcl.network.frames.frame import PREFIX_BYTES, message_bytes
from mpidcl.network.frames.message import Message
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.timetable import Phase, Rhythm
from mpidcl.network.schedule.virtual import Virtual, VirtualOptions

EVERY = Rhythm("after", 1, 0, "all")
ANSWERED = Rhythm("after", 3, 0, "all", legs=2)


class Told(Exchange):
    """Numbers its messages, and keeps what it heard: (source, number) of each `settle`. It may answer."""

    def __init__(self, near, size=1, legs=1):
        super().__init__(SimpleNamespace(), None, near)
        self.size, self.legs, self.asked = size, legs, Counter()  # type: ignore[misc]
        self.heard, self.answered, self.rooms, self.ended = [], [], [], 0

    def message(self, number, room):
        return Message("told", {"number": number}, {"x": np.full(self.size, number, np.float64)}, room)

    def bytes_range(self, target, budget):
        size = self.legs * message_bytes(self.message(0, 0))
        return ByteRange(size, size)

    def ask(self, link):
        self.asked[link.target] += 1
        self.rooms.append(link.room)
        return self.message(self.asked[link.target], link.answer_room)

    def answer(self, link, message):
        self.answered.append((link.target, message.scalars["number"]))
        return self.message(100 + message.scalars["number"], 0)

    def settle(self, received):
        for item in received:
            assert (item.message.arrays["x"] == item.message.scalars["number"]).all()
        self.heard.append([(item.source, item.message.scalars["number"]) for item in received])

    def end_use(self):
        self.ended += 1


def world(rule=EVERY, agents=2, ticks=30, kept=None, clock=None, size=1, **conditions):
    """Agents of which each tells the others; `kept[agent]` is its exchange."""
    kept = {} if kept is None else kept

    def make(learner, near):
        kept[near.agent] = Told(near, size, rule.legs)
        return kept[near.agent]

    network = topology("complete", agents, conditions=conditions)
    return World(network, [[ticks]] * agents, [rule], [make], clock=clock or virtual(5, ticks="regular"))


def table(record):
    return {name: values.tolist() for name, values in record.tables["mail"].items()}


def test_with_equal_ticks_and_no_latency_a_lower_agent_is_heard_at_once():
    """(t, j) < (s, i): at time s agent 1 has what agent 0 sent at s, and agent 0 what came before."""
    kept = {}
    world(ticks=4, kept=kept).in_process()
    assert kept[1].heard == [[(0, n)] for n in (1, 2, 3, 4)]
    assert kept[0].heard == [[(1, n)] for n in (1, 2, 3)]


def test_latency_delays_by_so_many_ticks_and_ages_are_counted():
    kept = {}
    records = world(ticks=6, kept=kept, latency="2.5 s").in_process()
    assert kept[1].heard == [[(0, n)] for n in (1, 2, 3)]  # sent at 1, 2, 3, heard at 4, 5, 6
    assert table(records[1])["messages"] == [3] and table(records[1])["age"] == [9.0]
    assert table(records[1])["frames"] == [6]
    ages = {name: values.tolist() for name, values in records[1].tables["ages"].items()}
    assert ages == {"source": [0], "exchange": [0], "power": [2], "messages": [3]}  # 2 to 4 seconds


def test_a_frame_that_is_overtaken_is_late_and_not_used():
    kept = {}
    records = world(ticks=60, kept=kept, jitter="5 s").in_process()
    for agent, other in ((0, 1), (1, 0)):
        numbers = [number for heard in kept[agent].heard for _, number in heard]
        assert numbers == sorted(set(numbers))
        link = topology("complete", 2, conditions={"jitter": "5 s"}).outgoing(other)[agent]
        arrivals = [(n + 1 + jitter(0, link, n), n + 1) for n in range(60)]  # that frame n leaves at n + 1
        used, newest = [], 0
        for tick in range(1, 61):
            here = [n for at, n in arrivals if tick - 1 <= at < tick or (agent > other and at == tick)]
            if here and max(here) > newest:
                newest = max(here)
                used.append(newest)
        assert numbers == used
        row = table(records[agent])
        assert row["late"][0] > 0
        assert row["late"][0] + row["messages"][0] == sum(at < 60 for at, _ in arrivals)


def test_what_is_lost_is_what_the_condition_says_and_nothing_waits_for_it():
    kept = {}
    records = world(ticks=80, kept=kept, loss="30 %").in_process()
    link = topology("complete", 2, conditions={"loss": "30 %"}).outgoing(0)[1]
    lost = {n + 1 for n in range(80) if is_lost(0, link, n)}
    assert [n for heard in kept[1].heard for _, n in heard] == [n for n in range(1, 81) if n not in lost]
    assert table(records[1])["lost"] == [len(lost)] and 10 < len(lost) < 40


def test_a_frame_whose_line_is_busy_is_skipped_and_nothing_is_asked_for_it():
    """A frame of about 1,000 bytes takes 2.5 s at 400 B/s, so of three ticks one sends."""
    kept = {}
    of = world(ticks=30, kept=kept, size=110, bandwidth="400 B/s")
    records = of.in_process()
    assert sum(kept[0].asked.values()) == 10
    assert [n for heard in kept[1].heard for _, n in heard] == list(range(1, 11))[: len(kept[1].heard)]
    assert table(records[1])["skipped"] == [20]


def test_a_frame_whose_link_is_down_does_not_leave_and_the_next_one_does():
    """At ticks 3, 4 and 7, 8 of 10: nobody waits, and nothing is asked for them."""
    kept = {}
    network = topology("complete", 2, link=[{"from": [0], "down": [["3 s", "5 s"], ["6500 ms", "9 s"]]}])
    records = replace(world(ticks=10, kept=kept), network=network).in_process()
    assert [n for heard in kept[1].heard for _, n in heard] == [1, 2, 3, 4, 5, 6]
    assert sum(kept[0].asked.values()) == 6 and sum(kept[1].asked.values()) == 10
    assert (table(records[1])["down"], table(records[1])["frames"]) == ([4], [10])
    assert (table(records[0])["down"], table(records[1])["skipped"]) == ([0], [0])


def test_what_is_asked_is_answered_when_the_link_back_is_there_again():
    kept = {}
    network = topology("complete", 2, link=[{"from": [1], "down": [["3 s", "5 s"]]}])
    replace(world(ANSWERED, ticks=9, kept=kept), network=network).in_process()
    assert kept[1].answered == [(0, 1), (0, 2), (0, 3)]  # at ticks 5, 6 and 9
    assert kept[0].answered == [(1, 1)]  # agent 1 could not ask at tick 3, and did at 6 and 9


def test_a_question_is_answered_with_the_next_frame_back_and_the_answer_settled():
    kept = {}
    records = world(ANSWERED, ticks=9, kept=kept).in_process()
    assert kept[1].answered == [(0, 1), (0, 2), (0, 3)]
    assert kept[0].heard == [[(1, 101)], [(1, 102)]]  # that of tick 9 is on its way
    assert kept[1].heard == [[(0, 101)], [(0, 102)]]
    assert table(records[1])["messages"] == [5]
    assert kept[0].ended == 9  # after every tick at which it may have answered


def test_only_the_newest_question_is_answered():
    """Agent 1 ticks once a second, and agent 0 asks five times meanwhile."""
    kept = {}
    clock = virtual(5, rates=[5.0, 1.0], ticks="regular")
    world(replace(ANSWERED, period=1), ticks=20, kept=kept, clock=clock).in_process()
    assert [n for _, n in kept[1].answered] == [5 * n for n in range(1, len(kept[1].answered) + 1)]


def test_a_budget_holds_ask_and_answer_together_and_the_stamp():
    kept = {}
    of = world(ANSWERED, ticks=6, kept=kept)
    each = 2 * message_bytes(Told(SimpleNamespace()).message(0, 0))
    need = each + PREFIX_BYTES + STAMP_BYTES
    enough = topology("complete", 2, budget=f"{need} B")
    for agent in replace(of, network=enough).agents().values():
        agent.meetings.check()
    replace(of, network=enough).in_process()
    assert kept[0].answered and set(kept[0].rooms) <= {each, each // 2}
    less = replace(of, network=topology("complete", 2, budget=f"{need - 1} B"))
    with pytest.raises(ExperimentError, match=f"at least {need} bytes"):
        less.agents()[0].meetings.check()


def test_what_leaves_is_counted_with_its_stamp():
    records = world(ticks=5).in_process()
    frames = next(row for row in records[0].ledger if row.kind == "frame")
    assert frames.frames == 5 and frames.header_bytes == 5 * (PREFIX_BYTES + STAMP_BYTES)


@pytest.mark.parametrize("stamp", [(2.0, 1.0, 0), (-1.0, 1.0, 0), (1.0, float("nan"), 0), (1.0, 2.0, 7)])
def test_a_stamp_that_cannot_be_is_refused(monkeypatch, stamp):
    monkeypatch.setattr(mail, "_stamp", lambda left, at, fate: (mail.STAMP, _stamped(*stamp)))
    with pytest.raises(FrameError, match=r"frame 0: should arrive 1 s after it left"):
        world(ticks=3, latency="1 s").in_process()


def test_a_message_of_a_leg_that_there_is_not_is_refused(monkeypatch):
    said = mail.Mail._said
    monkeypatch.setattr(mail.Mail, "_said", lambda *words: ((slot + 3, one) for slot, one in said(*words)))
    with pytest.raises(FrameError, match=r"\[\[exchange\]\] 0 \(fake0\) should have a leg below 1. Found 3"):
        world(ticks=3).in_process()


def _stamped(left, at, fate):
    return Message("mail", {"left": left, "at": at, "fate": fate})


CONDITIONS = {"latency": "1.5 s", "jitter": "4 s", "loss": "20 %", "bandwidth": "2 kB/s"}


@pytest.mark.parametrize("legs", [1, 2])
@pytest.mark.parametrize("ticks", ["regular", "poisson"])
def test_a_resumed_life_is_that_of_one_that_was_not_stopped(legs, ticks):
    """Letters on their way, questions, busy lines and accounts go through the state at every cut."""
    saved = defaultdict(dict)
    rule = Rhythm("after", 2, 0, "all", legs=legs)
    network = topology("ring", 4, conditions=CONDITIONS)

    def save(agent, cut, state):
        saved[cut][agent] = state

    def made():
        clock = virtual(2, rates=[1.0, 0.4, 2.0, 1.0], ticks=ticks)
        return World(network, [[6, 9]] * 4, [rule], [fake(legs, 40)], clock=clock, cut_every=5, save=save)

    records = made().in_process()
    whole = digests(records)
    ages = {n: {k: v.tolist() for k, v in r.tables["ages"].items()} for n, r in records.items()}
    kept = {cut: dict(states) for cut, states in saved.items()}
    letters = 0
    for cut, states in kept.items():
        agents = made().agents()
        for number, agent in agents.items():
            agent.load(states[number], cut)
            letters += len(states[number]["meetings"]["mail"]["letters"])
        records = InProcessDriver().drive({number: agent.live() for number, agent in agents.items()})
        assert digests(records) == whole
        for number, record in records.items():
            assert {name: values.tolist() for name, values in record.tables["ages"].items()} == ages[number]
    assert len(kept) > 3 and letters


def test_all_agents_order_their_events_by_phase():
    of = world(ticks=3)
    phases = [e.moment.phase for e in of.timetable(0).events() if e.moment.time == 2.0]
    assert phases == [Phase.ARRIVE, Phase.LEARN, Phase.AFTER, Phase.CUT]  # worlds save every second


# --- absences, bursts, shared lines ---------------------------------------------------------------


def test_what_comes_while_an_agent_is_away_is_dropped_and_it_does_not_tick():
    kept = {}
    options = VirtualOptions.model_validate({"ticks": "regular"})
    away = VirtualOptions.model_validate({"ticks": "regular", "absences": [["3.5 s", "6.5 s"]]})
    records = world(ticks=8, kept=kept, clock=Virtual(options, 0, [options, away])).in_process()
    heard = [n for heard in kept[1].heard for _, n in heard]
    assert heard[:6] == [1, 2, 3, 7, 8, 9]  # 4, 5, 6 arrived in vain
    assert table(records[1])["dropped"] == [3]
    assert [n for heard in kept[0].heard for _, n in heard] == list(range(1, 9))[: len(kept[0].heard)]


def test_all_links_of_an_agent_can_share_one_line():
    """A frame takes 2 s: to two neighbours 4 s, so of ticks at 1, 2, ... those at 1, 5, 9 send."""
    kept, size = {}, PREFIX_BYTES + STAMP_BYTES + message_bytes(Told(SimpleNamespace()).message(0, 0))
    of = world(agents=3, ticks=12, kept=kept, bandwidth=f"{size / 2} B/s", line="agent")
    of.in_process()
    assert kept[0].asked == {1: 3, 2: 3}
    at = [place for place, heard in enumerate(kept[2].heard) if any(source == 0 for source, _ in heard)]
    assert len(at) == 3 or len(at) == 2
    alone = {}
    world(agents=3, ticks=12, kept=alone, bandwidth=f"{size / 2} B/s").in_process()
    assert alone[0].asked == {1: 6, 2: 6}
