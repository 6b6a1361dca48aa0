"""Agents that train one model on rows of their own, and one agent that has all of their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from learning_fakes import FakeRows, experiment, shape, task

from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.stream.tasks import Task

PLAIN = {"options": {"width": 8, "dropout": 0.0}, "optimizer": "sgd", "lr": 0.1, "terms": ()}


def shard(index: int, start: int, stop: int) -> Task:
    """Rows start .. stop - 1 of 40 training rows of a task."""
    whole = task(index, rows=40)
    return replace(whole, train=FakeRows(whole.train.pixels[start:stop], whole.train.y[start:stop]))


def member(agent: int, agents: int, **settings: Any) -> GradientLearner:
    """One of the agents of one model."""
    whole: Any = experiment(one_model=True, **settings)
    whole.agents = agents
    return GradientLearner(whole, agent, shape())


def life(who: GradientLearner, tasks: Sequence[Task], ticks: int = 2) -> Any:
    """All of `tasks`; returns the digest and what was sent."""
    for item in tasks:
        who.begin_task(item)
        for tick in range(ticks):
            yield from who.learn(item.index, tick)
        yield from who.end_task()
    yield from who.evaluate(tasks[-1].index)
    return who.digest(), who.counters()


def lives(
    agents: int, cuts: Sequence[int], made: dict[int, GradientLearner] | None = None, **settings: Any
) -> Callable[[int], Any]:
    """Agents with the rows between `cuts [agents + 1]` of two tasks; `made` gets the learners."""

    def one(agent: int) -> Any:
        who = member(agent, agents, **settings)
        if made is not None:
            made[agent] = who
        return life(who, [shard(index, cuts[agent], cuts[agent + 1]) for index in range(2)])

    return one


def equal_cuts(agents: int) -> list[int]:
    return np.linspace(0, 40, agents + 1).astype(int).tolist()
