"""Regression streams without anybody who learns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mpidcl.base.state import State
from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_tables
from mpidcl.learning.learner import Learner, Scores
from mpidcl.network.requests import Asking
from mpidcl.stream.regression.base import GroupStream
from mpidcl.stream.regression.task import RegressionTask


class Watcher(Learner):
    """Takes regression tasks and learns nothing."""

    takes = RegressionTask

    def begin_task(self, task: RegressionTask) -> None:
        """Nothing is kept."""

    def learn(self, task: int, tick: int) -> Asking[None]:
        """Nothing is learned."""
        yield from ()

    def evaluate(self, upto: int) -> Asking[Scores]:
        """Nothing is known."""
        yield from ()
        return {}

    def digest(self) -> str:
        """Of nothing."""
        return ""

    def state(self) -> State:
        """Of nothing."""
        return {}

    def load(self, state: State, task_of: Callable[[int], Any]) -> None:
        """Nothing to load."""


def experiment_of(kind: str, groups: object, agents: int, seed: int = 0, **options: object) -> Experiment:
    """An experiment with a regression stream of this kind; `groups` as `network.groups.of`."""
    tables: Mapping[str, object] = {
        "name": "x",
        "agents": agents,
        "seed": seed,
        "network": {"topology": "groups", "groups": {"of": groups}},
        "learning": {"kind": "regression_fakes:Watcher"},
        "stream": {"kind": kind, **options},
    }
    return from_tables(tables)


def stream_of(experiment: Experiment, agent: int = 0) -> GroupStream:
    """The stream of an agent."""
    mine = experiment.for_agent(agent)
    made: GroupStream = kinds.resolve("stream", mine.stream.kind)(mine, agent)
    return made
