"""`mpidcl bench driver`: what a tick costs beside learning, with all agents in one process.

Agents on a ring learn nothing and send each neighbour one small message per tick and exchange. What is left
is the timetable, meetings, frames, ledger and driver. Seconds are CPU seconds of one thread; what a run costs
before its first tick is left out, by running few ticks and many.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TypedDict

import numpy as np

from mpidcl.base.state import State
from mpidcl.benchmarks.table import time_text
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Neighbourhood, Received
from mpidcl.exchange.meeting import Meetings
from mpidcl.experiment.network_table import Network
from mpidcl.experiment.options import Options
from mpidcl.learning.learner import Learner, Scores
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.ledger import FRAME, Ledger
from mpidcl.network.frames.message import Message
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Asking
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.lockstep import LockstepTimetable
from mpidcl.network.schedule.timetable import Rhythm
from mpidcl.network.schedule.topology import Topology
from mpidcl.run.agent import Agent
from mpidcl.stream.stream import Stream
from mpidcl.stream.tasks import StreamShape

SIZES = ((8, 1), (1000, 1), (8, 2), (1000, 2))
"""Agents and exchanges."""
AGENT_TICKS = 16_000
"""Ticks of all agents together in the longer of the two runs; a fifth of it in the shorter one."""


class DriverRow(TypedDict):
    """What is measured of one size: CPU seconds per agent and tick."""

    bench: str
    agents: int
    exchanges: int
    frames: int
    seconds: float


class NullLearner(Learner):
    """Learns nothing, at once."""

    def __init__(self, agent: int) -> None:
        self.agent = agent

    def begin_task(self, task: object) -> None:
        """Nothing to begin."""

    def learn(self, task: int, tick: int) -> Asking[None]:
        yield from ()

    def evaluate(self, upto: int) -> Asking[Scores]:
        yield from ()
        return {"accuracy": np.zeros(upto + 1)}

    def digest(self) -> str:
        return ""

    def state(self) -> State:
        return {}

    def load(self, state: State, task_of: Callable[[int], object]) -> None:
        """Nothing was saved."""


class NullStream(Stream):
    """One task of so many ticks."""

    shape = StreamShape((16,), 1, 1)
    ticks: tuple[int, ...] = ()

    def __init__(self, ticks: int) -> None:
        self.ticks = (ticks,)

    def task(self, index: int) -> int:
        return index


class Small(Exchange):
    """Sends everybody the same 16 numbers in a message of each meeting, and takes no notice of what comes."""

    def __init__(self, options: Options, learner: object, neighbourhood: Neighbourhood) -> None:
        super().__init__(options, learner, neighbourhood)
        self.begin_use(0)

    def begin_use(self, task: int) -> None:
        self.message = Message("small", {"number": 1}, {"x": np.zeros(16, np.float32)}, floats=16)

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        size = message_bytes(self.message)
        return ByteRange(size, size)

    def ask(self, link: LinkUse) -> Message | None:
        return self.message

    def settle(self, received: list[Received]) -> None:
        """Nothing is kept."""


def measure(rounds: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[DriverRow]:
    """One row per size: the median over rounds of CPU seconds per agent and tick."""
    for agents, exchanges in sizes:
        many = max(10, AGENT_TICKS // agents)
        few, found = many // 5, []
        for _ in range(rounds):
            (short, _), (long, _) = run(agents, exchanges, few), run(agents, exchanges, many)
            found.append((long - short) / (agents * (many - few)))
        yield {
            "bench": "driver",
            "agents": agents,
            "exchanges": exchanges,
            "frames": 2,
            "seconds": statistics.median(found),
        }


def line(row: DriverRow) -> str:
    """A row for a terminal."""
    what = f"{row['agents']:>5} agents, {row['exchanges']} exchange{'s' * (row['exchanges'] > 1)}"
    return f"{what:<26} {row['frames']} frames out and in: {time_text(row['seconds'])} a tick"


def run(agents: int, exchanges: int, ticks: int) -> tuple[float, int]:
    """CPU seconds of one run, and how many frames left."""
    network = build_topology(Network.model_validate({"topology": "ring"}), agents, 0)
    made = [_agent(network, number, exchanges, ticks) for number in range(agents)]
    lives = {agent.number: agent.live() for agent in made}
    began = time.process_time()
    InProcessDriver().drive(lives)
    seconds = time.process_time() - began
    return seconds, sum(c.frames for agent in made for c in agent.ledger.rows() if c.exchange == FRAME)


def _agent(network: Topology, number: int, exchanges: int, ticks: int) -> Agent:
    learner, near = NullLearner(number), network.neighbours(number)
    place = Neighbourhood(number, 0, near, near, dict.fromkeys((number, *near), len(near)))
    rhythms, kinds = (Rhythm("after", 1, 0, "all"),) * exchanges, ["small"] * exchanges
    small = [Small(Options(), learner, place) for _ in kinds]
    ledger = Ledger(number)
    meetings = Meetings(number, network, small, rhythms, kinds, ledger, 0)
    agent = Agent(number, NullStream(ticks), learner, meetings, ledger, kinds)
    agent.timetable = LockstepTimetable(
        number, network, rhythms, [[ticks]] * network.agents, None, Fraction(1), None
    )
    return agent
