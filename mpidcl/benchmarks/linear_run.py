"""`mpidcl bench linear`: what a tick of linear agents costs, beside a loop that anybody would write first.

Agents in rings of eight learn a sample at each tick, and send their models to both neighbours with delay and
loss. All are in one process: their ticks compiled, or lived one by one (as over MPI), and a loop over a heap
of events with NumPy that does the same learning. Seconds are CPU seconds of one thread. What a run costs
before its first tick is left out, by running few ticks and many.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TypedDict

import numpy as np

from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_tables
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.timetable import START
from mpidcl.run.agent import Agent
from mpidcl.run.building import build_agent, set_timetables
from mpidcl.run.compiled.driver import CompiledDriver, take_ticks
from mpidcl.run.compiled.engine import Engine
from mpidcl_kernels.base.types import Doubles

GROUP, FEATURES, ALPHA, DELAY, LOSS = 8, 16, 0.01, 1.5, 0.1
TRUTH = np.linspace(-1, 1, FEATURES)
SIZES = (8, 64, 256, 1000)
"""Agents."""
TICKS = {"compiled": 400_000, "lives": 16_000, "heap": 40_000}
"""Ticks of all agents together in the longer of the two runs; a quarter of it in the shorter one."""

Due = tuple[float, int, int, tuple[int, Doubles] | None]
"""Of the loop over a heap: when, number, which agent, and what arrives (None: it ticks)."""


class LinearRow(TypedDict):
    """What is measured of one way of running one size: ticks per CPU second."""

    bench: str
    agents: int
    way: str
    ticks_per_s: float


def measure(rounds: int, sizes: tuple[int, ...] = SIZES) -> Iterator[LinearRow]:
    """One row per size and way: the median over rounds."""
    ways: dict[str, Callable[[int, int], float]] = {"compiled": compiled, "lives": lives, "heap": heap}
    for agents, (way, run) in itertools.product(sizes, ways.items()):
        many = max(8, TICKS[way] // agents)
        few, found = many // 4, []
        for _ in range(rounds):
            seconds = run(agents, many) - run(agents, few)
            found.append(agents * (many - few) / max(seconds, 1e-9))
        yield {"bench": "linear", "agents": agents, "way": way, "ticks_per_s": statistics.median(found)}


def line(row: LinearRow) -> str:
    """A row for a terminal."""
    return f"{row['agents']:>5} agents, {row['way']:<9} {row['ticks_per_s']:>11,.0f} ticks/s"


def compiled(agents: int, ticks: int) -> float:
    """CPU seconds of the compiled run."""
    whole = _experiment(agents, ticks)
    made = _agents(whole, in_loop=True)
    engine = Engine(made, build_topology(whole.network, agents, 0), 0, START)
    engine.compile()
    began = time.process_time()
    CompiledDriver(engine).drive({agent.number: agent.live() for agent in made})
    return time.process_time() - began


def lives(agents: int, ticks: int) -> float:
    """CPU seconds of agents that live their ticks themselves."""
    made = _agents(_experiment(agents, ticks), in_loop=False)
    began = time.process_time()
    InProcessDriver().drive({agent.number: agent.live() for agent in made})
    return time.process_time() - began


def _experiment(agents: int, ticks: int) -> Experiment:
    never = f"{10 * ticks} s"
    tables = {
        "name": "bench",
        "agents": agents,
        "clock": "virtual",
        "network": {
            "topology": "groups",
            "groups": {"of": GROUP, "inside": "ring", "between": "directed-ring"},
            "conditions": {"latency": f"{DELAY} s", "loss": f"{100 * LOSS:g} %"},
        },
        "stream": {"kind": "linear-tasks", "features": FEATURES, "samples": ticks},
        "learning": {"kind": "linear", "lr": ALPHA},
        "exchange": [{"kind": "nodes", "when": "after", "every": "1 tick", "links": "inside"}],
        "evaluation": {"every": never},
        "checkpoint": {"every": "100 tasks"},
    }
    return from_tables(tables, "The experiment of this measurement")


def _agents(whole: Experiment, in_loop: bool) -> list[Agent]:
    topology = build_topology(whole.network, whole.agents, whole.seed)
    made = [build_agent(whole, topology, number, in_loop) for number in range(whole.agents)]
    set_timetables(made, whole, topology, [list(agent.stream.ticks) for agent in made])
    if in_loop:
        take_ticks(made)
    return made


def heap(agents: int, ticks: int) -> float:
    """CPU seconds of a loop over events in order of time: about `ticks` of each agent."""
    return learn_by_heap(agents, ticks)[0]


def learn_by_heap(agents: int, ticks: int) -> tuple[float, Doubles]:
    """Its seconds, and the models [agents, FEATURES] that come of it; the true one is `TRUTH`."""
    rng = np.random.default_rng(0)
    w, seen = np.zeros((agents, FEATURES)), np.zeros((agents, 2, FEATURES))
    weights, order = np.zeros((agents, 2)), itertools.count()
    began = time.process_time()
    events: list[Due] = [(float(rng.exponential()), next(order), agent, None) for agent in range(agents)]
    heapq.heapify(events)
    for _ in range(int(agents * ticks * (1 + 2 * (1 - LOSS)))):
        now, _, agent, letter = heapq.heappop(events)
        if letter is not None:
            side, model = letter
            seen[agent, side], weights[agent, side] = model, 1.0
            continue
        x = rng.standard_normal(FEATURES)
        slope = -x * (x @ TRUTH + rng.standard_normal() - x @ w[agent])
        slope += weights[agent] @ (w[agent] - seen[agent])
        w[agent] -= ALPHA * slope
        first = agent // GROUP * GROUP
        for side, step in enumerate((1, -1)):
            if rng.random() >= LOSS:
                other = first + (agent - first + step) % GROUP
                heapq.heappush(events, (now + DELAY, next(order), other, (side, w[agent].copy())))
        heapq.heappush(events, (now + float(rng.exponential()), next(order), agent, None))
    return time.process_time() - began, w
