"""Agents without torch: a stream of numbers, a learner that mixes vectors, exchanges of one to three legs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import numpy as np

from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Neighbourhood, Received
from mpidcl.exchange.free_mail import FreeMail
from mpidcl.exchange.mail import Mail
from mpidcl.exchange.meeting import Meetings
from mpidcl.experiment.network_table import Network
from mpidcl.learning import learner as learners
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.ledger import Ledger
from mpidcl.network.frames.message import Message
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.clock import Clock
from mpidcl.network.schedule.free import Free
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.lockstep import LockstepTimetable
from mpidcl.network.schedule.timetable import Rhythm
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.network.schedule.virtual import Virtual, VirtualOptions
from mpidcl.randomness import generator_state, load_generator_state, numpy_generator
from mpidcl.run.agent import Agent
from mpidcl.stream import stream as streams
from mpidcl.stream.tasks import StreamShape

ONCE = Fraction(1)


def topology(name: str, agents: int, seed: int = 0, **keys: Any) -> Topology:
    """The topology that `[network]` with these keys describes."""
    return build_topology(Network.model_validate({"topology": name, **keys}), agents, seed)


def from_edges(agents: int, edges: Sequence[tuple[int, int]], **keys: Any) -> Topology:
    """A topology of exactly these directed edges."""
    links = [Link(n, source, target, **keys) for n, (source, target) in enumerate(sorted(set(edges)))]
    return Topology.of("by hand", agents, links)


class Learner(learners.Learner):
    """Its model is a vector; learning and receiving change it in a way that depends on every order."""

    def __init__(self, agent: int, size: int = 16) -> None:
        self.agent, self.vector = agent, np.linspace(0, 1, size, dtype=np.float32) + agent
        self.generator = numpy_generator(0, agent, "fake")
        self.log: list[Any] = []
        self.task = -1

    def begin_task(self, task: Any) -> None:
        self.task = task
        self.log.append(("begin", task))

    def learn(self, task: int, tick: int) -> Any:
        self.log.append(("learn", task, tick))
        noise = self.generator.random(self.vector.size, np.float32)
        self.vector = np.sin(self.vector * np.float32(1.1)) + noise
        yield from ()

    def end_task(self) -> Any:
        self.log.append(("end", self.task))
        yield from ()

    def evaluate(self, upto: int) -> Any:
        self.log.append(("evaluate", upto))
        yield from ()
        return {"accuracy": np.abs(np.sin(np.arange(upto + 1) + float(self.vector.sum())))}

    def digest(self) -> str:
        return sha256(self.vector.tobytes()).hexdigest()

    def state(self) -> dict[str, Any]:
        return {
            "vector": self.vector.copy(),
            "generator": generator_state(self.generator),
            "task": self.task,
        }

    def load(self, state: dict[str, Any], task_of: Any = None) -> None:
        self.vector, self.task = state["vector"].copy(), int(state["task"])
        load_generator_state(self.generator, state["generator"])


class Stream(streams.Stream):
    """Tasks are their own numbers."""

    shape = StreamShape((16,), 1, 1)
    ticks: tuple[int, ...] = ()

    def __init__(self, ticks: tuple[int, ...]) -> None:
        self.ticks = ticks

    def task(self, index: int) -> int:
        return index


class Fake(Exchange):
    """Sends its learner's vector; every answer is what was heard, mixed with its own.

    `extra` bytes are declared on top; `tell` (leg, what, ...) hears of every call.
    """

    def __init__(
        self, learner: Learner, neighbourhood: Neighbourhood, legs: int = 1, size: int = 16, log: Any = None
    ) -> None:
        super().__init__(SimpleNamespace(), learner, neighbourhood)
        self.legs = legs  # type: ignore[misc]
        self.size, self.settled, self.log = size, 0, [] if log is None else log

    def vector(self) -> Any:
        return np.resize(self.learner.vector, self.size)

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        size = self.legs * message_bytes(self._message(0, LinkUse(0, 0, 0, 0, 0)))
        return ByteRange(size, size)

    def _message(self, leg: int, link: LinkUse) -> Message:
        scalars = {"leg": leg, "number": link.number, "half": 0.5, "yes": leg % 2 == 0}
        return Message("fake", scalars, {"x": self.vector()}, room=link.answer_room, floats=self.size)

    def begin_use(self, task: int) -> None:
        self.log.append(("use", self.neighbourhood.agent, task))

    def ask(self, link: LinkUse) -> Message | None:
        self.log.append(("ask", link.source, link.target))
        return self._message(0, link)

    def answer(self, link: LinkUse, message: Message) -> Message | None:
        self.log.append(("answer", link.source, link.target, message.scalars["leg"]))
        mixed = message.arrays["x"] * np.float32(0.5) + self.vector()
        reply = self._message(int(message.scalars["leg"]) + 1, link)
        room = min(link.room, message.room)
        return Message(reply.kind, reply.scalars, {"x": mixed}, room=room, floats=self.size)

    def settle(self, received: list[Received]) -> None:
        self.log.append(("settle", self.neighbourhood.agent, [r.source for r in received]))
        self.settled += 1
        vector = self.learner.vector
        for number, item in enumerate(received):
            part = np.resize(item.message.arrays["x"], vector.size)
            vector = np.cos(vector + np.float32(number + 1) * part)
        self.learner.vector = vector.astype(np.float32)

    def state(self) -> dict[str, Any]:
        return {"settled": self.settled}

    def load(self, state: dict[str, Any]) -> None:
        self.settled = state["settled"]


def virtual(seed: int = 0, rates: Sequence[float] = (), **options: Any) -> Virtual:
    """A clock with these options; `rates`: of each agent another one."""
    each = [VirtualOptions.model_validate({**options, "rate": rate}) for rate in rates]
    return Virtual(VirtualOptions.model_validate(options), seed, each)


def free() -> Free:
    """The clock `free`."""
    return Free(Free.default_options(), 0)


Make = Callable[[Learner, Neighbourhood], Exchange]


def fake(legs: int = 1, size: int = 16, log: Any = None) -> Make:
    return lambda learner, near: Fake(learner, near, legs, size, log)


def neighbourhood(network: Topology, agent: int) -> Neighbourhood:
    sources, targets = tuple(network.incoming(agent)), tuple(network.outgoing(agent))
    degrees = {a: int(network.degrees[a]) for a in (agent, *network.neighbours(agent))}
    return Neighbourhood(agent, 0, sources, targets, degrees)


@dataclass
class World:
    """A network of fake agents: what an experiment would say, and everything that it needs."""

    network: Topology
    ticks: Sequence[Sequence[int]]
    rhythms: Sequence[Rhythm] = (Rhythm("after", 1, 0, "all"),)
    makes: Sequence[Make] = field(default_factory=lambda: [fake()])
    cut_every: Fraction = ONCE
    evaluate_every: int | None = 10
    until: Fraction | None = None
    save: Any = None
    size: int = 16
    clock: Clock | None = None

    def timetable(self, agent: int) -> Any:
        if self.clock is not None:
            return self.clock.timetable(
                agent=agent,
                topology=self.network,
                rhythms=tuple(self.rhythms),
                ticks=self.ticks,
                evaluate_every=self.evaluate_every,
                cut_every=self.cut_every,
                until=self.until,
            )
        return LockstepTimetable(
            agent,
            self.network,
            tuple(self.rhythms),
            self.ticks,
            self.evaluate_every,
            self.cut_every,
            self.until,
        )

    def agent(self, number: int) -> Agent:
        learner = Learner(number, self.size)
        exchanges = [make(learner, neighbourhood(self.network, number)) for make in self.makes]
        kinds = [f"fake{n}" for n in range(len(exchanges))]
        ledger = Ledger(number)
        way = Meetings if self.clock is None else Mail if self.clock.waits else FreeMail
        meetings = way(number, self.network, exchanges, self.rhythms, kinds, ledger, 0)
        if self.clock is not None:
            meetings.keep_to(self.clock)
        agent = Agent(
            number, Stream(tuple(self.ticks[number])), learner, meetings, ledger, kinds, save=self.save
        )
        agent.timetable = self.timetable(number)
        return agent

    def agents(self, numbers: Sequence[int] | None = None) -> dict[int, Agent]:
        return {n: self.agent(n) for n in (range(self.network.agents) if numbers is None else numbers)}

    def in_process(self, **keys: Any) -> dict[int, Any]:
        """Every agent's record after a life in one process."""
        driver = InProcessDriver(**keys)
        return driver.drive({number: agent.live() for number, agent in self.agents().items()})


def digests(records: dict[int, Any]) -> dict[int, Any]:
    """What two drivers must agree on: parameters, accuracies and the ledger."""
    return {n: (r.digest, r.evaluations, r.ledger) for n, r in records.items()}
