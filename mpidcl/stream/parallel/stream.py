"""Parallel streams: tasks that start at different times, overlap, and are seen once.

The setting of parallel continual learning (Lyu et al., "Elastic Multi-Gradient Descent for Parallel
Continual Learning", arXiv 2401.01054): each task that is active at an optimiser step delivers one batch of
its own rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np

from mpidcl.errors import ExperimentError
from mpidcl.experiment.part import Planned, Use
from mpidcl.experiment.problems import Problem
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.parallel import rules
from mpidcl.stream.parallel.classes import deal_classes
from mpidcl.stream.parallel.options import ParallelOptions
from mpidcl.stream.parallel.timeline import PUBLISHED, Timeline, draw_starts
from mpidcl.stream.stream import Stream
from mpidcl.stream.tasks import Rows, StreamShape, Task

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.stream.datasets.base import Arrays, DataSet
    from mpidcl.stream.tasks import Indices


@dataclass(frozen=True, slots=True)
class ParallelSegment:
    """A task of the timetable: steps `first..stop - 1` of a parallel stream, with which `ended` end."""

    index: int
    first: int
    stop: int
    ended: tuple[int, ...]
    stream: ParallelStream


class ParallelStream(Stream):
    """Tasks side by side: functions of (seed, task), and with spread = "none" of the agent.

    With spread = "agents" nothing but `owner` depends on how many agents there are. `experiment` is the
    experiment as this agent lives it; of it seed, agents, stream and learning.batch are read. No file is read
    before `timeline`, `ticks` or a task is asked for. Raises ExperimentError for settings that the data set
    cannot satisfy.

    shape: what a model must fit, one output for each class of the data set
    online: each row is seen once, in steps and not in epochs
    """

    Options = ParallelOptions
    gives = ParallelSegment
    learners = ("parallel",)
    online = True
    shape: StreamShape = StreamShape((), 0, 0)

    def __init__(self, experiment: Experiment, agent: int) -> None:
        self.options = cast(ParallelOptions, experiment.stream.options)
        self.batch: int = experiment.learning.batch
        self._seed, self._agent, self._agents = experiment.seed, agent, experiment.agents
        self._together = self.options.spread == "agents"
        self.dataset = self._choose_dataset(make(experiment.stream.dataset, self.options.data))
        dealt = self._drawn_alike(self.options.label_set, "label set")
        self.classes = deal_classes(self.options, self.dataset.info, dealt)
        self._check_lengths()
        info = self.dataset.info
        self.shape = StreamShape(info.shape, 1, info.classes, self.options.incremental)
        self._made: dict[int, Task] = {}

    @classmethod
    def planned(cls, options: ParallelOptions) -> Planned:
        """Tasks; none of them are joint."""
        classes = options.classes_per_task
        return Planned(options.tasks, classes=classes if isinstance(classes, int) else None)

    def rows_of_task(self, agents: int) -> int:
        """Of the data set's rows those of the task's classes."""
        classes = self.options.classes_per_task
        number = classes if isinstance(classes, int) else self.dataset.info.classes
        return self.dataset.info.rows_of(number, self.options.train_per_class, 1)

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """What does not go with tasks side by side, in one model or in several."""
        yield from rules.problems(use)

    @staticmethod
    def data_set(experiment: Experiment, agent: int) -> DataSet:
        """What the stream of this agent reads, without making the stream: a run is bound to its content."""
        return make(experiment.stream.dataset, experiment.stream.options.data).for_agent(agent)

    @property
    def tasks(self) -> int:
        """Number of tasks."""
        return self.options.tasks

    # --- who has what -----------------------------------------------------------------------------

    def owner(self, task: int) -> int:
        """The agent that computes the gradients of `task`: in turn, in the order of the starts."""
        if not self._together:
            return self._agent
        only_memory = self.options.memory_agent == "own" and self._agents > 1
        return task % (self._agents - only_memory)

    @property
    def memory_owner(self) -> int:
        """The agent that keeps the memory; a single agent keeps it whatever `memory_agent` says.

        Where each agent keeps rows, it is the one that keeps the log of the steps.
        """
        if not self._together:
            return self._agent
        return self._agents - 1 if self.options.memory_agent == "own" else 0

    @property
    def splits_memory(self) -> bool:
        """Whether the rows of finished tasks stay with the agents that learned them."""
        return self._together and self.options.memory_agent == "each" and self._agents > 1

    # --- when -------------------------------------------------------------------------------------

    @cached_property
    def timeline(self) -> Timeline:
        """Starts and durations of all tasks; reads the labels of the data set unless these are given."""
        durations, chosen = self._durations(), self.options.timeline
        if not isinstance(chosen, str):
            return Timeline(chosen, durations)
        if chosen in PUBLISHED:
            return Timeline(PUBLISHED[chosen], durations)
        rng = self._drawn_alike(self.options.timeline_seed, "timeline")
        return Timeline(draw_starts(durations, rng), durations)

    @property
    def ticks(self) -> tuple[int, ...]:
        """Steps of each segment: from one end of a task to the next."""
        return tuple(segment.stop - segment.first for segment in self.timeline.segments)

    def task(self, index: int) -> ParallelSegment:
        """Segment `index` of the timeline, counted from 0. Raises IndexError."""
        found = self.timeline.segments
        if not 0 <= index < len(found):
            raise IndexError(f"a segment should be between 0 and {len(found) - 1}. Found {index}.")
        return ParallelSegment(index, found[index].first, found[index].stop, found[index].ended, self)

    def _durations(self) -> tuple[int, ...]:
        """Steps of one pass over the rows of each task, or what the file says."""
        if self.options.durations is not None:
            return self.options.durations
        needed = [-(-self._wanted(t) // self.batch) for t in range(self.tasks)]
        return tuple(min(steps, self.options.steps_per_task or steps) for steps in needed)

    # --- what -------------------------------------------------------------------------------------

    def parallel_task(self, task: int) -> Task:
        """Task `task` of the stream: `train` in the order in which its rows come, no validation rows.

        `labels` are the outputs of the one head: the class ids of the data set. Raises DataError for missing
        or wrong files, ExperimentError for too few rows, IndexError.
        """
        if not 0 <= task < self.tasks:
            raise IndexError(f"a task should be between 0 and {self.tasks - 1}. Found {task}.")
        if task not in self._made:
            self._made[task] = self._make(task)
        return self._made[task]

    def batch_rows(self, task: int, step: int, batch: int | None = None) -> slice:
        """Where in `parallel_task(task).train` the batch of `step` lies; empty when all rows were used.

        The last batch may be short. `batch` rows each, by default as in the experiment. Raises ValueError for
        a step at which the task is not active.
        """
        first, last = self.timeline.starts[task], self.timeline.ends[task]
        if not first <= step <= last:
            raise ValueError(f"Task {task} is active in steps {first} to {last}. Found step {step}.")
        size, rows = batch or self.batch, len(self.parallel_task(task).train)
        begin = (step - first) * size
        return slice(min(begin, rows), min(begin + size, rows))

    def _make(self, task: int) -> Task:
        data, info, classes = self._arrays, self.dataset.info, self.classes[task]
        train, test = self._train_rows(task), self._test_rows(task)
        none = np.empty(0, np.int64)
        return Task(
            task,
            info.name,
            classes,
            Rows(data.train_x, train, data.train_y[train], info.maximum),
            Rows(data.train_x, none, none, info.maximum),
            Rows(data.test_x, test, data.test_y[test], info.maximum),
            head=0,
            labels=classes,
        )

    def _train_rows(self, task: int) -> Indices:
        """One shuffled pass over the rows of the task, as far as its steps reach."""
        agent = EVERYBODY if self._together else self._agent
        rng = numpy_generator(self._seed, agent, f"parallel rows of task {task}")
        rows = rng.permutation(np.flatnonzero(np.isin(self._arrays.train_y, self.classes[task])))
        return rows[: min(self._wanted(task), self.timeline.durations[task] * self.batch)]

    def _wanted(self, task: int) -> int:
        """Training rows of a task, before its steps are limited."""
        classes, per_class = self.classes[task], self.options.train_per_class
        found = int(np.isin(self._arrays.train_y, classes).sum())
        wanted = found if per_class is None else per_class * len(classes)
        if found < max(wanted, 1):
            raise self._too_few(task, "train", max(wanted, 1), found)
        return wanted

    def _test_rows(self, task: int) -> Indices:
        per_class, labels = self.options.test_per_class, self._arrays.test_y
        of_class = [np.flatnonzero(labels == c) for c in self.classes[task]]
        if min(len(rows) for rows in of_class) < (per_class or 1):
            needed = (per_class or 1) * len(of_class)
            raise self._too_few(task, "test", needed, sum(map(len, of_class)))
        return np.sort(np.concatenate([rows[:per_class] for rows in of_class]))

    def _too_few(self, task: int, part: str, needed: int, found: int) -> ExperimentError:
        return ExperimentError(
            f"Task {task} should have at least {needed} {part} rows of the classes"
            f" {', '.join(map(str, self.classes[task]))} of {self.dataset.info.name}. Found {found}."
            f" Lower `stream.{part}_per_class`."
        )

    @cached_property
    def _arrays(self) -> Arrays:
        return self.dataset.load()

    # --- drawing ----------------------------------------------------------------------------------

    def _drawn_alike(self, number: int, purpose: str) -> np.random.Generator:
        """The generator of a choice that only agents with streams of their own may make differently."""
        alone = not self._together and self.options.draw == "independent"
        return numpy_generator(number, self._agent if alone else EVERYBODY, purpose)

    # --- checks -----------------------------------------------------------------------------------

    def _choose_dataset(self, whole: DataSet) -> DataSet:
        if self._together and len(whole.parts()) > 1:
            raise ExperimentError(
                '`stream.dataset` should be one data set for all agents, because `stream.spread` is "agents".'
                f' Found {", ".join(part.info.name for part in whole.parts())}. Set `stream.spread = "none"`.'
            )
        return whole.for_agent(self._agent)

    def _check_lengths(self) -> None:
        for name in ("timeline", "durations"):
            given = getattr(self.options, name)
            given = PUBLISHED.get(given) if isinstance(given, str) else given
            if given is not None and len(given) != self.tasks:
                raise ExperimentError(
                    f"`stream.{name}` should have a number for each of {self.tasks} tasks."
                    f" Found {len(given)}."
                )
