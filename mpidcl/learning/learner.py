"""What a learner is: the part of an agent that learns its tasks, whatever it learns them with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.state import State
from mpidcl.experiment import kinds
from mpidcl.experiment.part import Part, Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.need import Need
from mpidcl.network.requests import Asking
from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.tables import Table, Tables

if TYPE_CHECKING:
    from mpidcl.base.shape import Shape
    from mpidcl.experiment.file import Experiment
    from mpidcl.stream.stream import Stream

Scores = Mapping[str, NDArray[np.float64]]
"""Measure -> its value on each task `[tasks]`; NaN: not tested."""


class Learner(Part, ABC):
    """Base of all learners. One is made per agent; `experiment` is the experiment as this agent lives it.

    `learn`, `end_task` and `evaluate` are generators: what they yield is a request to the other agents
    (`mpidcl.network.requests`), and the answer is what the `yield` gives. One that asks nothing begins with
    `yield from ()`.

    Nothing here imports torch: a learner that needs no model runs without it.
    """

    room = "learner"
    measures: tuple[Measure, ...] = (ACCURACY,)
    """What `evaluate` gives, of a class or of one learner. The first is the main one."""
    uses: ClassVar[tuple[str, ...]] = ()
    """Which of "model", "memory", "objective" and "terms" it uses; the others are refused in a file."""

    inserts: ClassVar[tuple[str, ...]] = ("task end",)
    """When it can offer rows to the memory: values of `memory.insert`."""
    trains_one_model: ClassVar[bool] = False
    """Whether it knows `learning.one_model`: all agents train one model."""
    follows_schedule: ClassVar[bool] = False
    """Whether it knows `learning.schedule`: step sizes that change in a task."""
    mixes_precision: ClassVar[bool] = False
    """Whether it knows `learning.precision`: a model that computes in bfloat16."""
    draws_from_all: ClassVar[bool] = False
    """Whether it knows `memory.scope = "global"`: terms draw from the memories of all agents."""
    balances_draws: ClassVar[bool] = False
    """Whether it knows `memory.draw = "class-balanced"`."""
    looks_ahead: ClassVar[bool] = False
    """Whether it can test tasks that it has not begun (`evaluate_ahead`)."""
    tick: ClassVar[str] = "tick"
    """What lines of progress call a tick."""
    takes: ClassVar[type] = object
    """What `begin_task` takes: what the task of a stream has to be."""

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A stream whose tasks it does not take, or a time at which it offers no rows to the memory."""
        kind = use.mine.learning.kind
        if use.mine.learning.one_model and not cls.trains_one_model:
            yield Problem(
                ("learning", "one_model"),
                f'should be false with learning.kind = "{kind}", whose agents cannot train one model so.'
                ' Found true. learning.kind = "gradient" can; parallel streams have spread = "agents" for it',
            )
        if use.mine.learning.schedule is not None and not cls.follows_schedule:
            yield Problem(
                ("learning", "schedule"),
                f'should not be there with learning.kind = "{kind}", whose step size is the same throughout.'
                ' Remove it. learning.kind = "gradient" knows schedules',
            )
        if use.mine.learning.precision is not None and not cls.mixes_precision:
            yield Problem(
                ("learning", "precision"),
                f'should not be there with learning.kind = "{kind}", which computes in float32. Remove it.'
                ' learning.kind = "gradient" knows others',
            )
        yield from cls._memory_problems(use)
        if use.whole.evaluation.ahead and not cls.looks_ahead:
            yield Problem(
                ("evaluation", "ahead"),
                f'should be false with learning.kind = "{kind}", which tests no task before it has begun.'
                ' Found true. learning.kind = "gradient" does',
            )
        stream = kinds.resolve("stream", use.mine.stream.kind)
        if stream.gives is object or issubclass(stream.gives, cls.takes):
            return
        ours = " or ".join(f'"{kind}"' for kind in stream.learners)
        fits = ours or f"one that takes {stream.gives.__name__}"
        yield Problem(
            (*use.key, "kind"),
            f'should be {fits}, because stream.kind is "{use.mine.stream.kind}". Found'
            f' "{use.mine.learning.kind}"',
        )

    @classmethod
    def _memory_problems(cls, use: Use) -> Iterator[Problem]:
        """What is asked of the memory and what it does not know."""
        kind = use.mine.learning.kind
        memory = use.mine.memory
        if memory.used and memory.scope == "global" and not cls.draws_from_all:
            yield Problem(
                ("memory", "scope"),
                f'should be "local" with learning.kind = "{kind}", which draws from no other memory than its'
                ' own. Found "global". learning.kind = "gradient" can; parallel streams have memory_agent ='
                ' "each" for it',
            )
        if memory.used and memory.draw != "uniform" and not cls.balances_draws:
            yield Problem(
                ("memory", "draw"),
                f'should be "uniform" with learning.kind = "{kind}", which draws no other way. Found'
                f' "{memory.draw}". learning.kind = "gradient" can',
            )
        if memory.used and memory.scope == "local" and memory.progress != "auto":
            yield Problem(
                ("memory", "progress"),
                'should not be there with memory.scope = "local", where no rows travel. Remove it, or set'
                f' memory.scope = "global". Found "{memory.progress}"',
            )
        if memory.used and memory.insert not in cls.inserts:
            yield Problem(
                ("memory", "insert"),
                f'should be {_listed(cls.inserts)} with learning.kind = "{kind}". Found "{memory.insert}"',
            )

    @classmethod
    def need(cls, mine: Experiment, stream: Stream) -> Need:
        """What one agent needs in memory, at least; 0 where it is not known before it is made."""
        return Need()

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

    def poll_in_layers(self, poll: Callable[[], None]) -> None:
        """From now on call `poll` now and then in the middle of a step, in the thread that learns.

        It changes nothing of what is learned: rows that travel move on meanwhile.
        """
        return

    @abstractmethod
    def evaluate(self, upto: int) -> Asking[Scores]:
        """Every measure on the tests of tasks 0 .. upto."""

    def evaluate_ahead(self, tasks: Sequence[Any]) -> Asking[Scores]:
        """Every measure on the tests of `tasks` [n], those to come after the task begun last, in order.

        Only of learners that say `looks_ahead`; nothing that they learn later depends on it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not test tasks to come")

    def describe(self, stream: Stream, company: int) -> list[str]:
        """Lines for `mpidcl check` about how `company` agents will learn the stream.

        Raises ExperimentError for what cannot be seen before the stream is there.
        """
        return []

    # --- the record -------------------------------------------------------------------------------

    def tables(self) -> Tables:
        """What the run folder keeps beside the evaluations; also what a resumed run gets back."""
        return {}

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the tables of a checkpoint, which may be those of other parts, too."""
        return

    def counters(self) -> dict[str, int]:
        """Totals since the start of the run, such as `flops`, 0 or more.

        `model`: the lowest of the agents that train one model together, which then count as one.
        """
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


def _listed(names: Sequence[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)
