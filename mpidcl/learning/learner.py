"""What a learner is: the part of an agent that learns its tasks, whatever it learns them with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.network.requests import Asking
from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.tables import Table, Tables

if TYPE_CHECKING:
    from mpidcl.base.shape import Shape
    from mpidcl.experiment.file import Experiment

Scores = Mapping[str, NDArray[np.float64]]
"""Measure -> its value on each task `[tasks]`; NaN: not tested."""


class Learner(ABC):
    """Base of all learners. One is made per agent; `experiment` is the experiment as this agent lives it.

    `learn`, `end_task` and `evaluate` are generators: what they yield is a request to the other agents
    (`mpidcl.network.requests`), and the answer is what the `yield` gives. One that asks nothing begins with
    `yield from ()`.

    Nothing here imports torch: a learner that needs no model runs without it.
    """

    Options: ClassVar[type[Options]] = Options
    """What the experiment may choose: keys beside those of `[learning]`."""
    kernels: ClassVar[tuple[str, ...]] = ()
    """Modules of `mpidcl_kernels` that it calls: compiled once per node before the run begins."""
    measures: tuple[Measure, ...] = (ACCURACY,)
    """What `evaluate` gives, of a class or of one learner. The first is the main one."""
    uses: ClassVar[tuple[str, ...]] = ()
    """Which of "model", "memory" and "terms" of the experiment it uses; the others are refused in a file."""

    def __init__(self, experiment: Experiment, agent: int, shape: Shape) -> None:
        self.experiment, self.agent, self.shape = experiment, agent, shape

    # --- the life of a task ---------------------------------------------------------------------

    @abstractmethod
    def begin_task(self, task: Any) -> None:
        """Take up a task, what the stream's `task(index)` gives; called for every one in order."""

    @abstractmethod
    def learn(self, task: int, tick: int) -> Asking[None]:
        """Tick `tick` (from 0) of task number `task`: an epoch, or a step of an online stream."""

    def end_task(self) -> Asking[None]:
        """The task begun last is over."""
        yield from ()

    @abstractmethod
    def evaluate(self, upto: int) -> Asking[Scores]:
        """Every measure on the tests of tasks 0 .. upto."""

    # --- the record -------------------------------------------------------------------------------

    def tables(self) -> Tables:
        """What the run folder keeps beside the evaluations; also what a resumed run gets back."""
        return {}

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the tables of a checkpoint, which may be those of other parts, too."""
        return

    def counters(self) -> dict[str, int]:
        """Totals since the start of the run, such as `flops`."""
        return {}

    def finite(self) -> bool:
        """Whether all that it has learned are finite numbers."""
        return True

    @abstractmethod
    def digest(self) -> str:
        """sha256 (hex) of all that it has learned: equal digests, equal results."""

    # --- checkpoint -------------------------------------------------------------------------------

    @abstractmethod
    def state(self) -> State:
        """Everything that a resumed run needs, but for the tasks and `tables`."""

    @abstractmethod
    def load(self, state: State, task_of: Callable[[int], Any]) -> None:
        """Go on from `state`; `task_of(index)` gives the tasks again, which are not begun here yet."""
