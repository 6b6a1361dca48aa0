"""Groups of linear learners: a small stream with a known truth, and agents of a whole experiment."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from mpidcl.experiment.file import Experiment
from mpidcl.experiment.options import Options
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.topology import Topology
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.run.agent import Agent
from mpidcl.run.building import build_agent, set_timetables
from mpidcl.run.compiled.driver import take_ticks
from mpidcl.stream.regression.base import GroupStream
from mpidcl.stream.regression.task import BLOCK, RegressionTask


class Samples(GroupStream):
    """Unit Gaussian features; the groups' models are a common one and something of their own."""

    knows_truth = True

    class Options(Options):
        """How many, and how noisy."""

        samples: int = 40
        features: int = 3
        noise: float = 1.0
        scatter: float = 1.0

    def __init__(self, experiment: Experiment, agent: int) -> None:
        super().__init__(experiment, agent)
        self.options: Any = experiment.stream.options
        self.ticks, self.shape = (self.options.samples,), self._shape(self.options.features)

    def _task(self, index: int) -> RegressionTask:
        features, noise, groups = self.options.features, self.options.noise, len(self.groups)
        group = self.group
        rng = numpy_generator(self._seed, EVERYBODY, "truth")
        truth = rng.standard_normal(features) + self.options.scatter * rng.standard_normal((groups, features))

        def rows(generator: np.random.Generator, count: int) -> tuple[Any, Any]:
            x = generator.standard_normal((count, features))
            return x, x @ truth[group] + noise * generator.standard_normal(count)

        def block(number: int) -> tuple[Any, Any]:
            return rows(numpy_generator(self._seed, self._agent, "rows", number), BLOCK)

        tests = rows(numpy_generator(self._seed, group, "tests"), 50)
        return RegressionTask(index, group, groups, block, *tests, truth)


DAMTL = (
    {"kind": "nodes", "when": "after", "every": "1 tick", "links": "members"},
    {"kind": "means", "when": "after", "every": "3 ticks", "links": "between"},
    {"kind": "relation", "when": "after", "every": "4 ticks", "links": "messenger"},
)
CONDITIONS = {"latency": "700 ms", "jitter": "2 s", "loss": "20 %", "bandwidth": "2 kB/s"}


def experiment(
    agents: int = 6,
    exchanges: Iterable[dict[str, Any]] = DAMTL,
    groups: dict[str, Any] | None = None,
    clock: Any = "virtual",
    conditions: dict[str, Any] | None = None,
    links: Iterable[dict[str, Any]] = (),
    stream: dict[str, Any] | None = None,
    **others: Any,
) -> Experiment:
    """Groups of three in directed rings, DAMTL under the clock `virtual`; what is given differs."""
    network = {"topology": "groups", "groups": {"of": 3, "inside": "directed-ring", **(groups or {})}}
    table = {
        "name": "linear",
        "agents": agents,
        "clock": clock,
        "network": {**network, "conditions": conditions or {}, "link": [*links]},
        "stream": {"kind": "linear_fakes:Samples", **(stream or {})},
        "learning": {"kind": "linear", "lr": 0.02, **others.pop("learning", {})},
        "exchange": [*exchanges],
        **others,
    }
    return Experiment.model_validate(table)


def network_of(whole: Experiment) -> Topology:
    """Its links."""
    return build_topology(whole.network, whole.agents, whole.seed)


def agents_of(
    whole: Experiment,
    numbers: Iterable[int] | None = None,
    until: Fraction | None = None,
    compiled: bool = False,
) -> dict[int, Agent]:
    """Agents with their timetables; `compiled`: of a run whose ticks are in the driver's hands."""
    topology = network_of(whole)
    wanted = range(whole.agents) if numbers is None else numbers
    made = {number: build_agent(whole, topology, number, compiled) for number in wanted}
    ticks = [next(iter(made.values())).stream.ticks] * whole.agents
    set_timetables(made.values(), whole, topology, ticks, until)
    if compiled:
        take_ticks(list(made.values()))
    return made


def lived(whole: Experiment, until: Fraction | None = None) -> dict[int, Agent]:
    """All agents after their lives in one process, up to a time where one is given."""
    made = agents_of(whole, until=until)
    InProcessDriver().drive({number: agent.live() for number, agent in made.items()})
    return made


def digests(made: dict[int, Agent]) -> dict[int, str]:
    """Of all that they learned, and of what the mail has counted."""
    return {number: f"{agent.learner.digest()} {agent.tables()}" for number, agent in made.items()}
