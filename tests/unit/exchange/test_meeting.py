"""Meetings through the in-process driver: asks, answers and settles in order, within budgets."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from network_fakes import Fake, World, digests, fake, from_edges, topology

from mpidcl.errors import ExperimentError, FrameError
from mpidcl.exchange.base import ByteRange, Exchange
from mpidcl.network.frames.budget import UNLIMITED
from mpidcl.network.frames.conditions import is_lost
from mpidcl.network.frames.frame import PREFIX_BYTES, message_bytes
from mpidcl.network.frames.message import Message
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.timetable import Rhythm
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.network.waits import DEBUG

ONCE = Rhythm("task start", 1, 0, "all")


class Wish(Exchange):
    """Declares `least` to `most` bytes and fills its room; what it was given and heard is kept."""

    def __init__(self, near, least=100, most=100, take=None, legs=1, answers=None):
        super().__init__(SimpleNamespace(), None, near)
        self.least, self.most, self.take, self.legs, self.answers = least, most, take, legs, answers
        self.rooms, self.answer_rooms, self.heard, self.links = [], [], [], []

    def bytes_range(self, target, budget):
        return ByteRange(self.least, self.most)

    def message(self, size, room=0):
        empty = Message("w", {}, {"x": np.zeros(0, np.uint8)}, room)
        return replace(empty, arrays={"x": np.zeros(size - message_bytes(empty), np.uint8)})

    def ask(self, link):
        self.rooms.append(link.room)
        self.links.append(link)
        size = min(link.room, self.most) if self.take is None else self.take
        return self.message(size, link.answer_room) if size else None

    def answer(self, link, message):
        self.answer_rooms.append(link.room)
        return None if self.answers is None else self.message(self.answers)

    def settle(self, received):
        self.heard.append([(item.source, message_bytes(item.message)) for item in received])


def wish(kept, **keys):
    def make(learner, near):
        kept.setdefault(near.agent, []).append(Wish(near, **keys))
        return kept[near.agent][-1]

    return make


def meet(network, makes, rhythms=None):
    world = World(network, [[1]] * network.agents, rhythms or (ONCE,) * len(makes), makes)
    return world, world.in_process()


# --- order ---------------------------------------------------------------------------------------


def test_asks_answers_and_settles_of_one_meeting():
    log = []
    world, _ = meet(topology("line", 3), [fake(legs=2, log=log)])
    mine = [entry for entry in log if entry[1] == 1]
    assert mine == [
        ("use", 1, 0),
        ("ask", 1, 0),
        ("ask", 1, 2),
        ("answer", 1, 0, 0),
        ("answer", 1, 2, 0),
        ("settle", 1, [0, 2]),
    ]


def test_all_asks_are_made_from_the_state_before_the_meeting():
    """No agent settles before every ask that is due at this time has been made."""
    log = []
    meet(topology("complete", 4), [fake(log=log)])
    words = [entry[0] for entry in log]
    assert words.index("settle") > max(n for n, word in enumerate(words) if word == "ask")


def test_exchanges_settle_in_file_order_after_the_last_leg():
    # an answer of a longer exchange must not see what a shorter one has changed
    log = []

    class Named(Fake):
        def settle(self, received):
            log.append((self.neighbourhood.agent, self.legs))
            super().settle(received)

    makes = [lambda learner, near, legs=legs: Named(learner, near, legs) for legs in (3, 1, 2, 1)]
    meet(topology("ring", 2), makes)
    assert [legs for agent, legs in log if agent == 0] == [3, 1, 2, 1]


def test_three_legs_answer_the_answer():
    log = []
    meet(topology("ring", 2), [fake(legs=3, log=log)])
    assert [entry for entry in log if entry[0] == "answer" and entry[1] == 0] == [
        ("answer", 0, 1, 0),
        ("answer", 0, 1, 1),
    ]


def test_senders_come_in_order_whatever_the_file_says():
    kept = {}
    network = from_edges(5, [(4, 2), (0, 2), (3, 2), (1, 2)])
    meet(network, [wish(kept)])
    assert [source for source, _ in kept[2][0].heard[0]] == [0, 1, 3, 4]
    assert kept[4][0].heard == [[]]


def test_a_use_knows_its_number_and_its_ends():
    kept = {}
    world = World(topology("ring", 2), [[2, 2]] * 2, (Rhythm("after", 1, 0, "all"),), [wish(kept)])
    world.in_process()
    assert [(u.source, u.target, u.number) for u in kept[1][0].links] == [(1, 0, n) for n in range(4)]


# --- budgets -------------------------------------------------------------------------------------


def budgeted(budget, agents=2):
    return topology("line", agents, budget=budget)


def test_rooms_in_file_order_and_leftovers_pass_on():
    kept = {}
    makes = [
        wish(kept, least=50, most=300),
        wish(kept, least=50, most=300, take=60),
        wish(kept, least=50, most=300),
    ]
    meet(budgeted(PREFIX_BYTES + 450), makes)
    assert [exchange.rooms for exchange in kept[0]] == [[300], [100], [90]]


def test_an_exchange_that_answers_keeps_its_room_for_the_answer():
    kept = {}
    makes = [wish(kept, least=50, most=300, take=80, legs=2, answers=100), wish(kept, least=50, most=300)]
    world, _ = meet(budgeted(2 * PREFIX_BYTES + 400), makes)
    assert kept[0][0].rooms == [300]
    assert kept[0][1].rooms == [100]
    assert kept[0][0].answer_rooms == [220]  # what the ask left of its room
    assert kept[0][0].links[0].answer_room == 2 * PREFIX_BYTES + 400
    assert kept[0][0].heard == [[(1, 100)]]


def test_an_answer_may_not_exceed_the_room_that_came_with_the_ask():
    class Modest(Wish):
        def message(self, size, room=0):
            return super().message(size, 90 if room else 0)

    def make(answers):
        return lambda learner, near: Modest(near, least=50, most=400, take=60, legs=2, answers=answers)

    meet(budgeted(None), [make(90)])
    with pytest.raises(FrameError, match="may use at most 90 bytes here. Found 91"):
        meet(budgeted(None), [make(91)])


def test_an_ask_over_its_room_is_refused():
    with pytest.raises(
        FrameError, match="link 0 -> 1: exchange 'fake0' may use at most 100 bytes here. Found 101"
    ):
        meet(budgeted(None), [wish({}, least=50, most=100, take=101)])


def test_without_a_budget_everybody_gets_the_most():
    kept = {}
    meet(budgeted(None), [wish(kept, least=50, most=5000), wish(kept, least=50, most=10_000)])
    assert [exchange.rooms for exchange in kept[0]] == [[5000], [10_000]]
    assert kept[0][0].links[0].answer_room == UNLIMITED


def test_a_full_budget_fits_the_receivers_limit():
    kept = {}
    meet(
        budgeted(PREFIX_BYTES + 1000),
        [wish(kept, least=50, most=9999), wish(kept, least=0, most=9999, take=0)],
    )
    assert kept[1][0].heard == [[(0, 1000)]]


def test_an_empty_frame_fits_a_budget_of_one_header():
    kept = {}
    meet(budgeted(PREFIX_BYTES), [wish(kept, least=0, most=0, take=0)])
    assert all(len(exchanges[0].heard) == 1 for exchanges in kept.values())  # the meeting was held


def checked(network, makes, rhythms=None):
    world = World(network, [[1]] * network.agents, rhythms or (ONCE,) * len(makes), makes)
    for agent in world.agents().values():
        agent.meetings.check()


def test_check_refuses_a_budget_below_the_least_bytes():
    makes = [wish({}, least=100, most=200), wish({}, least=50, most=60, legs=2)]
    checked(budgeted(150 + 2 * PREFIX_BYTES), makes)
    with pytest.raises(ExperimentError, match=f"at least {150 + 2 * PREFIX_BYTES} bytes on link 0 -> 1"):
        checked(budgeted(149 + 2 * PREFIX_BYTES), makes)


def test_check_counts_the_header_of_a_frame_that_only_goes_along():
    links = (Link(0, 0, 1, ("used",), 1000), Link(1, 1, 0, (), PREFIX_BYTES - 1))
    with pytest.raises(ExperimentError, match=f"at least {PREFIX_BYTES} bytes on link 1 -> 0"):
        checked(Topology.of("any", 2, links), [wish({})], (Rhythm("task start", 1, 0, "used"),))


# --- which links ---------------------------------------------------------------------------------


def test_check_refuses_an_answer_over_a_one_way_link():
    with pytest.raises(
        ExperimentError, match="answers and needs links both ways. Found link 0 -> 1 without one back"
    ):
        checked(from_edges(2, [(0, 1)]), [wish({}, legs=2)])
    links = (Link(0, 0, 1, ("near",)), Link(1, 1, 0))
    with pytest.raises(ExperimentError, match="Found link 0 -> 1 without one back"):
        checked(Topology.of("any", 2, links), [wish({}, legs=2)], (Rhythm("task start", 1, 0, "near"),))
    checked(from_edges(2, [(0, 1)]), [wish({}, legs=1)])


def test_a_one_way_link_carries_frames_one_way():
    kept = {}
    _, records = meet(from_edges(2, [(0, 1)]), [wish(kept)])
    assert kept[1][0].heard == [[(0, 100)]]
    assert kept[0][0].heard == [[]]
    assert kept[1][0].rooms == []
    assert records[1].ledger == []


def test_link_classes_choose_who_is_asked():
    kept = {}
    network = topology("complete", 3, link=[{"class": "from-0", "from": [0]}])
    rules = (Rhythm("task start", 1, 0, "from-0"), Rhythm("task start", 1, 0, "all"))
    meet(network, [wish(kept), wish(kept)], rules)
    assert [exchange.heard for exchange in kept[0]] == [[[]], [[(1, 100), (2, 100)]]]
    assert [exchange.heard for exchange in kept[1]] == [[[(0, 100)]], [[(0, 100), (2, 100)]]]


# --- loss and ledger -----------------------------------------------------------------------------


def test_a_lost_frame_is_an_empty_frame_and_is_counted():
    kept = {}
    network = topology("ring", 2, conditions={"loss": 0.5})
    world = World(network, [[20]] * 2, (Rhythm("after", 1, 0, "all"),), [wish(kept)])
    records = world.in_process()
    link = network.outgoing(0)[1]
    arrived = [not is_lost(0, link, n) for n in range(20)]
    assert [bool(heard) for heard in kept[1][0].heard] == arrived
    assert 0 < sum(arrived) < 20
    assert [row.frames for row in records[0].ledger] == [20, 20]


def test_the_greeting_is_never_lost_nor_counted():
    _, records = meet(topology("ring", 3, conditions={"loss": 1.0}), [wish({})])
    assert sum(row.frames for row in records[0].ledger if row.exchange == -1) == 2


def test_the_ledger_equals_the_bytes_of_the_frames(monkeypatch):
    from mpidcl.network import inprocess

    sent = {}
    pack = inprocess.pack

    def spy(address, entries, checksum_all=False):
        packed = pack(address, entries, checksum_all)
        if address.number < 2**63:
            size = len(packed.head) + sum(array.nbytes for array in packed.raw)
            sent[address.source] = sent.get(address.source, 0) + size
        return packed

    monkeypatch.setattr(inprocess, "pack", spy)
    makes = [fake(legs=2, size=5000), fake(legs=1, size=3), fake(legs=3)]
    rules = (Rhythm("after", 1, 0, "all"), Rhythm("before", 2, 0, "all"), ONCE)
    records = World(topology("star", 4), [[2], [3], [1, 1], []], rules, makes).in_process()
    for agent, record in records.items():
        assert sum(row.wire_bytes for row in record.ledger) == sent[agent]
    assert sum(row.paper_floats for row in records[0].ledger if row.kind == "fake0") % 5000 == 0


def test_removing_the_ledger_changes_no_result():
    world = World(topology("ring", 3), [[2]] * 3, makes=[fake(legs=2)])
    agents = world.agents()
    for agent in agents.values():
        agent.meetings._ledger = None
    without = InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
    assert [r.digest for r in without.values()] == [r.digest for r in world.in_process().values()]


# --- waiting in a circle -------------------------------------------------------------------------


@pytest.mark.parametrize("ticks", [[[2], [3], [5]], [[4, 1], [1, 4], [3]], [[0, 2], [2, 0], [1, 1]]])
def test_three_agents_that_would_wait_in_a_circle_link_by_link(ticks):
    """Different task lengths on a ring of three: each agent meets its two neighbours at other times."""
    world = World(topology("ring", 3), ticks, makes=[fake(legs=2)], rhythms=[Rhythm("after", 1, 0, "all")])
    records = world.in_process()
    assert len({record.digest for record in records.values()}) == 3
    assert digests(records) == digests(world.in_process())


def test_nothing_that_is_on_its_way_changes(monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    world = World(topology("complete", 4), [[2], [3], [1], [2]], makes=[fake(legs=2, size=9000)], size=9000)
    watched = digests(world.in_process())
    monkeypatch.delenv(DEBUG)
    assert watched == digests(world.in_process())


def test_an_exchange_that_writes_into_what_a_neighbour_sent_is_found(monkeypatch):
    """Agents of one process share memory: agent 0 is done with agent 1, who still waits for agent 2."""
    learners = {}

    class Careless(Fake):
        def vector(self):
            return self.learner.vector

        def settle(self, received):
            for item in received:
                learners[item.source].vector[:] = 0

    def make(learner, near):
        learners[near.agent] = learner
        return Careless(learner, near, size=9000)

    world = World(topology("line", 4), [[1], [1], [1], [2]], makes=[make], size=9000)
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(
        FrameError, match=r"agent 1: an array changed while it was on its way \(time 1 \(after\)\)"
    ):
        world.in_process()


# --- state ---------------------------------------------------------------------------------------


def test_counters_and_exchanges_go_on_after_resume():
    world = World(topology("ring", 2), [[2]] * 2)
    agents = world.agents()
    InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
    state = agents[0].meetings.state()
    assert state["numbers"] == {"0": 2, "1": 2}
    fresh = world.agent(0).meetings
    fresh.load(state)
    assert fresh.state() == state
