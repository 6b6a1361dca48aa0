"""Learning rates that change while a task is learned: warm-up, steps at given epochs, cycles.

A rate is a function of how far the task is, so every task begins anew and a resumed run goes on with the same
bits. Nothing here imports torch when it loads.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from mpidcl.base.state import State
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Part, Use

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.learning.optimizers import Optimizer

MOST_COUNTED = 64
"""Agents that `by_agents` counts, as in the public code of distributed rehearsal buffers."""
Epoch = Annotated[float, Field(ge=0, le=1e9)]
Factor = Annotated[float, Field(ge=0, le=1e9)]


class ScheduleOptions(Options):
    """What every schedule has."""

    warm_up: Epoch = Field(
        0.0,
        description="first epochs of each task, in which the rate rises along a line: from `lr` with"
        " by_agents, else from 0",
    )
    by_agents: bool = Field(
        False,
        description=f"multiply all rates by the number of agents, by {MOST_COUNTED} at most; for agents that"
        " train one model",
    )


class Schedule(Part, ABC):
    """Base: what the rate of a step is. `lr` is that of the file. It keeps no state.

    With `by_agents` k agents take steps k times as long, and warm-up goes from lr to k lr: the linear scaling
    and the gradual warm-up of Goyal et al. 2017 (arXiv 1706.02677, section 2).
    """

    room = "schedule"
    Options = ScheduleOptions

    def __init__(self, options: ScheduleOptions, lr: float, agents: int) -> None:
        self.options, self.lr = options, lr
        self.factor = min(agents, MOST_COUNTED) if options.by_agents else 1

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Longer steps of models that nobody shares."""
        if use.options.by_agents and not use.mine.learning.one_model:
            yield (
                "note: learning.schedule by_agents makes the steps of every agent longer, though each has a"
                " model of its own (learning.one_model = false)."
            )

    def rate(self, epoch: float, step: int) -> float:
        """The step size when `epoch` epochs (with a fraction) and `step` steps of the task are over."""
        full, long = self.factor * self.at(epoch, step), self.options.warm_up
        if epoch >= long:
            return full
        first = self.lr if self.options.by_agents else 0.0
        return first + (full - first) * (epoch / long)

    @abstractmethod
    def at(self, epoch: float, step: int) -> float:
        """The same for one agent and without warm-up."""


class Constant(Schedule):
    """lr, always: for its warm-up, or its scale."""

    def at(self, epoch: float, step: int) -> float:
        return self.lr


class Steps(Schedule):
    """lr x factors[i] from epoch at[i] of a task on; before the first of them lr."""

    class Options(ScheduleOptions):
        """Where the rate changes, and to what."""

        at: tuple[Epoch, ...] = Field(
            min_length=1, max_length=1000, description="epochs of a task, in order, such as [21, 26, 28]"
        )
        factors: tuple[Factor, ...] = Field(
            min_length=1, max_length=1000, description="of `lr` from there on, such as [0.5, 0.05, 0.01]"
        )

        @model_validator(mode="after")
        def _in_order(self) -> Steps.Options:
            rising = all(one < other for one, other in pairwise(self.at))
            if len(self.at) != len(self.factors) or not rising:
                raise ValueError(
                    "`at` should be epochs that rise, and `factors` have one number for each. Found"
                    f" {list(self.at)[:20]} and {list(self.factors)[:20]}"
                )
            return self

    options: Options

    def at(self, epoch: float, step: int) -> float:
        passed = bisect_right(self.options.at, epoch)
        return self.lr * self.options.factors[passed - 1] if passed else self.lr


class Cyclic(Schedule):
    """Up from lr to `highest` and down again, the tops lower and lower: "exp_range" of Smith 2017.

    lr + (highest - lr) max(0, 1 - |s / h - 2 c + 1|) gamma^s at step s, with h = half_cycle and
    c = floor(1 + s / (2 h)) (arXiv 1506.01186, section 3.2).
    """

    class Options(ScheduleOptions):
        """Shape of the cycles."""

        highest: float = Field(gt=0, le=1e9, description="rate at the top of the first cycle")
        half_cycle: float = Field(ge=1, le=1e12, description="optimiser steps from the lowest rate to a top")
        gamma: float = Field(1.0, gt=0, le=1, description="how much lower the top is with every step")

    options: Options

    def at(self, epoch: float, step: int) -> float:
        own = self.options
        cycle = math.floor(1 + step / (2 * own.half_cycle))
        height = max(0.0, 1 - abs(step / own.half_cycle - 2 * cycle + 1))
        return self.lr + (own.highest - self.lr) * height * own.gamma**step


class Pace:
    """The step size of a learner without a schedule: the optimiser's own."""

    def begin_task(self) -> None:
        """A task begins."""

    def begin_tick(self, tick: int) -> None:
        """Tick `tick` of the task begins."""

    def begin_pass(self, steps: int) -> None:
        """So many steps come in this tick."""

    def step(self) -> None:
        """The optimiser is about to step."""

    def state(self) -> State:
        """Nothing."""
        return {}

    def load(self, state: State) -> None:
        """Nothing."""


class Scheduled(Pace):
    """Gives an optimiser the rate of a schedule before each step."""

    def __init__(self, schedule: Schedule, optimizer: Optimizer) -> None:
        self._schedule, self._optimizer = schedule, optimizer
        self._steps = self._tick = self._of_tick = self._in_tick = 0

    def begin_task(self) -> None:
        self._steps = 0
        self._optimizer.lr = self._schedule.lr

    def begin_tick(self, tick: int) -> None:
        self._tick = tick

    def begin_pass(self, steps: int) -> None:
        self._of_tick, self._in_tick = steps, 0

    def step(self) -> None:
        epoch = self._tick + self._in_tick / self._of_tick
        self._optimizer.lr = self._schedule.rate(epoch, self._steps)
        self._steps, self._in_tick = self._steps + 1, self._in_tick + 1

    def state(self) -> State:
        """Steps of the task so far; ticks are never saved in their middle."""
        return {"steps_of_task": self._steps}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._steps = int(state["steps_of_task"])


def pace_of(experiment: Experiment, optimizer: Optimizer) -> Pace:
    """What an experiment says of step sizes."""
    table = experiment.learning.schedule
    if table is None:
        return Pace()
    made = kinds.resolve("schedule", table.kind)
    return Scheduled(made(table.options, experiment.learning.lr, experiment.agents), optimizer)
