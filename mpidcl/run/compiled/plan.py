"""Ticks of all agents in one order, piece by piece of time, with the samples that are learned at them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.network.schedule.uses import Uses
from mpidcl.run.agent import Agent
from mpidcl.run.compiled.layout import learner_of
from mpidcl.stream.regression.task import BLOCK, RegressionTask
from mpidcl_kernels.base.types import Doubles
from mpidcl_kernels.linear.mail import Plan


class Ticks(NamedTuple):
    """Of one agent in a piece of time: times, task, number in it from 1 on, and which exchanges are due."""

    times: NDArray[Any]
    task: NDArray[Any]
    tick: NDArray[Any]
    due: NDArray[Any]


class Samples:
    """The samples of one agent, from blocks of which the last is kept."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._task: tuple[int, RegressionTask] | None = None
        self._block: tuple[int, int, Doubles, Doubles] | None = None

    def of(self, ticks: Ticks, last_task: int) -> tuple[list[Doubles], list[Doubles]]:
        """x [n, d] and y [n] of all ticks of tasks up to `last_task`, in pieces."""
        xs: list[Doubles] = []
        ys: list[Doubles] = []
        learned = ticks.task <= last_task
        for task in np.unique(ticks.task[learned]).tolist():
            numbers = ticks.tick[ticks.task == task] - 1
            first, last = int(numbers[0]), int(numbers[-1]) + 1
            while first < last:
                block, place = divmod(first, BLOCK)
                x, y = self._of_block(task, block)
                end = min(BLOCK, place + last - first)
                xs.append(x[place:end])
                ys.append(y[place:end])
                first += end - place
        return xs, ys

    def _of_block(self, task: int, number: int) -> tuple[Doubles, Doubles]:
        if self._block is None or self._block[:2] != (task, number):
            learner = learner_of(self._agent)
            if task < len(learner.tasks):
                x, y = learner.block(task, number)
            else:  # it begins in the middle of this piece of time
                x, y = self._coming(task).block(number)
            self._block = task, number, x, y
        return self._block[2:]

    def _coming(self, task: int) -> RegressionTask:
        if self._task is None or self._task[0] != task:
            self._task = task, self._agent.stream.task(task)
        return self._task[1]


class Walk:
    """The ticks of one agent, from which pieces are taken in order of time. The last window is kept."""

    def __init__(self, uses: Uses) -> None:
        self.uses = uses
        self._bits = (1 << np.arange(len(uses.rules), dtype=np.int64))[:, None]
        self._window: tuple[int, Ticks] | None = None

    def between(self, after: float, upto: float) -> Ticks:
        """Those at `after` < t <= `upto`."""
        parts = []
        for number in count(self.uses.ticks.at(after) if after > 0 else 0):
            whole = self._of(number)
            here = slice(*np.searchsorted(whole.times, [after, upto], "right"))
            parts.append(Ticks(*(column[here] for column in whole)))
            if self.uses.ticks.ends(number) > upto:
                break
        return parts[0] if len(parts) == 1 else Ticks(*map(np.concatenate, zip(*parts, strict=True)))

    def _of(self, number: int) -> Ticks:
        if self._window is None or self._window[0] != number:
            times, task, tick, due = self.uses.due(number)
            self._window = number, Ticks(times, task, tick, (due * self._bits).sum(0))
        return self._window[1]


def plan_of(
    agents: Sequence[Agent], ticks: Sequence[Ticks], samples: Sequence[Samples], features: int
) -> Plan:
    """One list of the ticks of all agents, in order of (time, agent)."""
    lengths = [len(one.times) for one in ticks]
    xs: list[Doubles] = [np.empty((0, features))]
    ys: list[Doubles] = [np.empty(0)]
    rows, before = [np.empty(0, np.int64)], 0
    for one, own, agent in zip(ticks, samples, agents, strict=True):
        last = len(agent.stream.ticks) - 1
        x, y = own.of(one, last)
        xs += x
        ys += y
        learned = one.task <= last
        number = np.cumsum(learned) - 1 + before
        rows.append(np.where(learned, number, -1))
        before += int(learned.sum())
    times = np.concatenate([one.times for one in ticks])
    order = np.argsort(times, kind="stable")  # those of one time stay in order of agent
    number = np.repeat(np.arange(len(agents)), lengths)
    return Plan(
        time=times[order],
        agent=number[order],
        sample=np.concatenate(rows)[order],
        due=np.concatenate([one.due for one in ticks])[order],
        x=np.concatenate(xs),
        y=np.concatenate(ys),
    )
