"""All agents' ticks, taken piece by piece of virtual time through the compiled loop."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import cast

import numpy as np

from mpidcl.exchange.base import LinkUse
from mpidcl.exchange.estimates.estimate import Estimate
from mpidcl.exchange.mail import STAMP_BYTES
from mpidcl.network.frames.budget import UNLIMITED
from mpidcl.network.frames.frame import PREFIX_BYTES, message_sizes
from mpidcl.network.frames.message import Message
from mpidcl.network.requests import of_agent
from mpidcl.network.schedule.milestones import Milestones
from mpidcl.network.schedule.timetable import Moment, Phase
from mpidcl.network.schedule.topology import Topology
from mpidcl.network.schedule.virtual_timetable import float_up_to
from mpidcl.run.agent import Agent
from mpidcl.run.compiled.accidents import Accidents
from mpidcl.run.compiled.layout import (
    ROOM as ROOM_AT_FIRST,
)
from mpidcl.run.compiled.layout import (
    lay_letters,
    lay_links,
    lay_nodes,
    lay_saying,
    learner_of,
    with_more_room,
)
from mpidcl.run.compiled.plan import Samples, Walk, plan_of
from mpidcl.run.compiled.state import MailState
from mpidcl_kernels.linear.mail import CALL, DONE, NODES, ROOM, Plan, run_ticks

TICKS = 2**17
"""Ticks of a piece of time, of all agents together: about this many."""
PAUSE_TICKS, PAUSE_EACH = 2**8, 1
"""Before the first pause: of all together, or of each."""
NUMBERS = 2**24
"""Of the samples of a piece, at most about: 128 MB."""

Key = tuple[float, float]
"""A place in the order of ticks: time, and agent; infinity: after all ticks of that time."""


class Engine:
    """The ticks of all agents of a run, from the moment `after` on."""

    def __init__(self, agents: Sequence[Agent], topology: Topology, seed: int, after: Moment) -> None:
        self.agents = agents
        tables = [cast(Milestones, agent.timetable) for agent in agents]
        clock, self._end = tables[0].clock, float_up_to(tables[0].last)
        self.nodes = lay_nodes(agents, [clock.absences_of(one.number) for one in agents], self._end)
        self.links, known = lay_links(agents, self.nodes, topology)
        self._mail = MailState(agents, known)
        self._accidents = Accidents(seed, known)
        exchanges = agents[0].meetings.exchanges
        every = range(len(exchanges))
        widths = [[self._mail.exchange(link.source, e).widest() for e in every] for link in known]
        self._widths = np.array(widths, np.int64).reshape(len(known), len(exchanges))
        self.letters = self._mail.read(
            self.links, lambda room: lay_letters(self.links, self._widths, max(ROOM_AT_FIRST, room))
        )
        prefix = PREFIX_BYTES + STAMP_BYTES
        widest = max((self._mail.exchange(0, e).widest() for e in every), default=0)  # there may be no link
        self._saying = lay_saying(exchanges, max(widest, int(self._widths.max(initial=1))), prefix)
        models = self._saying.own["kind"] == NODES
        for number in np.flatnonzero(models).tolist():
            exchange = self._mail.exchange(0, number)
            self._note(exchange, number, exchange.example())
        self._called = sum(1 << e for e in np.flatnonzero(~models).tolist())
        self.nodes.own["calls"] = [self._called & self._used(agent.number) for agent in agents]
        uses = [clock.uses_of(one.agent, one.rows[one.agent], one.rhythms) for one in tables]
        self._walks, self._samples = [Walk(one) for one in uses], [Samples(agent) for agent in agents]
        ticks = min(TICKS, NUMBERS / self.nodes.w.shape[1])
        self._piece = ticks / sum(one.ticks.rate for one in uses)
        self._upto = float_up_to(after.time)
        self._plan: Plan | None = None
        self._at = 0
        self._wall = self._cpu = 0.0
        self._ticked, self._told = np.zeros(len(agents)), np.zeros((len(agents), 2))

    def compile(self) -> None:
        """Compile the loop, or load it from the cache."""
        none, numbers = np.empty(0), np.empty(0, np.int64)
        samples = np.empty((0, self.nodes.w.shape[1]))
        plan = Plan(none, numbers, numbers, numbers, samples, none)
        run_ticks(self.nodes, self.links, self.letters, self._saying, plan, 0, 0, False)

    def _used(self, agent: int) -> int:
        """Exchanges that leave an agent, by bits."""
        first, last = self.nodes.own["out"][agent]
        return int(np.bitwise_or.reduce(self.links.own["uses"][self.links.outgoing[first:last]], initial=0))

    # --- ticks ------------------------------------------------------------------------------------

    def run_to(self, key: Key) -> None:
        """Live all ticks up to a place in their order, at it included."""
        wall, cpu = time.perf_counter(), time.process_time()
        while True:
            if self._plan is not None:
                self._run(self._place(self._plan, key))
            if self._upto >= min(key[0], self._end):
                break
            self._prepare()
        self._wall += time.perf_counter() - wall
        self._cpu += time.process_time() - cpu

    @staticmethod
    def _place(plan: Plan, key: Key) -> int:
        """How many ticks of a plan are up to a key."""
        first, last = np.searchsorted(plan.time, key[0], "left"), np.searchsorted(plan.time, key[0], "right")
        return int(first + np.searchsorted(plan.agent[first:last], key[1], "right"))

    def _prepare(self) -> None:
        """The next piece of time."""
        begin, end = self._upto, min(self._end, max(self._upto, 0.0) + self._piece)
        ticks = [walk.between(begin, end) for walk in self._walks]
        self._plan = plan_of(self.agents, ticks, self._samples, self.nodes.w.shape[1])
        self._at, self._upto = 0, end
        due = np.array([np.count_nonzero(one.due) for one in ticks], np.int64)
        used = self.links.own["uses"] > 0
        self.links = self._accidents.ahead(self.links, np.where(used, due[self.links.own["source"]], 0))
        self._ticked += [len(one.times) for one in ticks]

    def _run(self, last: int) -> None:
        plan, said = self._plan, False
        assert plan is not None
        while self._at < last or said:
            self._at, why, who = run_ticks(
                self.nodes, self.links, self.letters, self._saying, plan, self._at, last, said
            )
            said = why in (CALL, ROOM)
            if why == DONE:
                return
            if why == CALL:
                self._prepare_messages(self.agents[who], float(plan.time[self._at]), int(plan.due[self._at]))
            elif why == ROOM:
                self.letters = with_more_room(self.links, self.letters, self._widths)
            else:
                self._refuse(who)

    def _prepare_messages(self, agent: Agent, now: float, due: int) -> None:
        """Let the exchanges whose messages are not models alone say what they tell at a tick."""
        self._mail.write_learner(agent, self.nodes)
        due &= int(self.nodes.own["calls"][agent.number])
        with of_agent(agent.number):
            for exchange in agent.meetings.exchanges:
                exchange.now = now
            for number in range(len(self._saying.own)):
                if due >> number & 1:
                    self._prepare_message(agent.number, number)
        self.nodes.own["told"][agent.number] = learner_of(agent).told

    def _prepare_message(self, agent: int, number: int) -> None:
        exchange = self._mail.exchange(agent, number)
        exchange.begin_use(0)
        message = exchange.ask(LinkUse(agent, -1, UNLIMITED, 0, 0))
        exchange.end_use()
        self._saying.own["length"][number] = 0
        if message is not None:
            self._note(exchange, number, message)

    def _note(self, exchange: Estimate, number: int, message: Message) -> None:
        """What an exchange says, as the loop reads it."""
        row = exchange.to_row(message)
        payload, whole = message_sizes(message)
        self._saying.row[number, : len(row)] = row
        kind = self._saying.own["kind"][number]
        self._saying.own[number] = kind, len(row), payload, whole - payload, message.floats

    def _refuse(self, link: int) -> None:
        """Raises the error of the learner that does not follow what has come over a link."""
        target, plan = int(self.links.own["target"][link]), self._plan
        assert plan is not None
        agent = self.agents[target]
        self._mail.write_learner(agent, self.nodes)
        with of_agent(target):
            for q in range(int(self.links.own["held"][link])):
                for _, one in self._mail.entries(self.links, self.letters, link, q):
                    own = float(one.scalars.get("own", 0.0))
                    learner_of(agent).follow(math.inf, own, self.nodes.w[target])
        raise AssertionError("a messenger's word was refused, and its receiver would follow it")

    # --- what agents see ----------------------------------------------------------------------------

    def show(self, agent: Agent, moment: Moment) -> None:
        """Let an agent's objects hold what is true now, as far as what it does at `moment` looks at them."""
        if moment.phase is Phase.ARRIVE:
            return
        self._mail.write_learner(agent, self.nodes)
        self._mail.write_ledger(agent, self.links)
        if moment.phase is Phase.CUT:
            self._mail.write(agent, self.links, self.letters)
            self._share_time(agent)

    def _share_time(self, agent: Agent) -> None:
        """Each agent has waited for all; its part of the time, by ticks, was learning."""
        part = self._ticked[agent.number] / max(self._ticked.sum(), 1)
        now = np.array([self._wall, self._cpu]) * part
        wall, cpu = now - self._told[agent.number]
        self._told[agent.number] = now
        agent.clock.give("wait_s", "learn_s", float(wall), float(cpu))


def first_pause(rates: Sequence[float]) -> int:
    """Seconds before the first pause of agents with these rates, as a power of 2: its exponent."""
    ticks = max(PAUSE_TICKS, PAUSE_EACH * len(rates))
    return math.floor(math.log2(ticks / sum(rates)))
