"""Parallel continual learning: streams that start and end at different times train one model together.

    at each step
        every active task: the gradient of its next batch; the memory of finished tasks: that of a batch of it
        the Gram matrix of all gradients, and from it a weight for each (the combiner)
        one optimiser step along the weighted sum
        the rows of the memory that were used may be edited
    when a task ends: its accuracy is measured, and some of its rows go into the memory

"Elastic Multi-Gradient Descent for Parallel Continual Learning", arXiv 2401.01054. With
`stream.spread = "agents"` the gradients lie on the agents that own the tasks: each yields `Compare` and
`Combine`, and all take the same step, so that their models stay equal bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from mpidcl.base.shape import Shape
from mpidcl.base.state import State, state_of
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.experiment.sections import Combiner as CombinerTable
from mpidcl.experiment.sections import Editor as EditorTable
from mpidcl.learning.combiners.base import MEMORY, Combiner
from mpidcl.learning.editing.pattern import Pattern
from mpidcl.learning.learner import Scores
from mpidcl.learning.model_learner import ModelLearner
from mpidcl.learning.parallel import rules
from mpidcl.learning.parallel.compared import StepGradients
from mpidcl.learning.parallel.course import COURSE, ParallelCourse
from mpidcl.learning.parallel.described import described
from mpidcl.learning.parallel.editing import Editing, merged
from mpidcl.learning.parallel.gradients import GradientRows, OwnGradient, RowBatch
from mpidcl.learning.parallel.memory import TaskMemory
from mpidcl.learning.parallel.parts import StepRows
from mpidcl.learning.parallel.steps import STEPS, StepLog
from mpidcl.learning.parallel.tests import ParallelTests
from mpidcl.learning.sharing.together import Alone, Together
from mpidcl.network.requests import Asking
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.record.measures import ACCURACY
from mpidcl.record.tables import Table, Tables
from mpidcl.stream.parallel.stream import ParallelSegment

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class ParallelLearner(ModelLearner):
    """Learns the tasks of a parallel stream, of which this agent may own some, all or none.

    Rows are given by a stream of kind "parallel", and the memory is one of policy "class-quota".
    """

    takes = ParallelSegment
    kernels: ClassVar[tuple[str, ...]] = ("step", "gram", "gather")
    clocks = ("lockstep",)

    class Options(Options):
        """How gradients become one direction."""

        combiner: CombinerTable = Field(
            default_factory=lambda: CombinerTable.model_validate("elastic"),
            description="how the gradients of a step become one direction",
        )
        editing: EditorTable | None = Field(
            None, description='how rows of the memory are edited after they were used; absent or "none": not'
        )
        not_finite: Literal["stop", "skip"] = Field(
            "stop", description="what a gradient with NaN or Inf does: end the run, or stay out of its step"
        )
        second_moment: Literal["direction", "mean"] = Field(
            "direction",
            description="what adam and adamw keep the running square of: the combined direction, which"
            " conflicts shorten, or the plain mean of the gradients, as if there were no combiner",
        )

        @field_validator("editing", mode="before")
        @classmethod
        def _none(cls, value: Any) -> Any:
            return None if value == "none" else value

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """What does not go with gradients that are made side by side."""
        yield from super().problems(use)
        if kinds.resolve("stream", use.mine.stream.kind).gives is ParallelSegment:
            yield from rules.problems(use)

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Editing without a memory."""
        if use.options.editing and not use.mine.learning.terms:
            yield (
                'note: editing has nothing to edit: there is no memory. Set [learning] terms = ["replay"].'
            )

    @classmethod
    def remembers(cls, mine: Experiment) -> bool:
        """Of agents that train one model together one keeps the memory."""
        return super().remembers(mine) and (mine.stream.options.spread != "agents" or mine.agents == 1)

    def describe(self, stream: Any, company: int) -> list[str]:
        """When each task runs, who owns it, what a step costs."""
        self.memory.budget(stream)
        return described(self, stream, company)

    def __init__(self, experiment: Experiment, agent: int, shape: Shape) -> None:
        stream = experiment.stream.options
        self.together = stream.spread == "agents"
        super().__init__(experiment, agent, shape, EVERYBODY if self.together else agent)
        self.options = experiment.learning.options
        table = self.options.combiner
        self.combiner: Combiner = kinds.resolve("combiner", table.kind)(table.options)
        self.rows = GradientRows(self, self._draws_as)
        self.memory = TaskMemory(experiment, agent, self._draws_as, shape)
        self.editing = Editing(self, self.rows, self._draws_as) if self.options.editing else None
        several = self.together and experiment.agents > 1
        self._sharing = Together(agent, experiment.agents, len(self.parameters.grad)) if several else Alone()
        self._always = np.ones(len(self.optimizer.steps), dtype=np.bool_)
        self._direction = self.host_gradient()
        self._mean = np.zeros_like(self._direction) if self.options.second_moment == "mean" else None
        self.course: ParallelCourse | None = None
        self.log: StepLog | None = None
        self.segment: Any = None

    # --- the life of a segment: the steps between two ends ------------------------------------------

    @property
    def stream(self) -> Any:
        """The parallel stream; known from the first segment on."""
        return self.segment.stream

    def counters(self) -> dict[str, int]:
        """`flops`; `combined_bytes`: sent to combine gradients, if every agent has its own rank; `model`."""
        shared = {} if self.course is None else {"model": self.course.model}
        return super().counters() | {"combined_bytes": self._sharing.sent_bytes} | shared

    def begin_task(self, segment: Any) -> None:
        """Take up the next steps of the stream, up to the next end of a task."""
        self.segment = segment
        if self.course is not None:
            return
        timeline, tasks = self.stream.timeline, range(self.stream.tasks)
        owners = [self._owner(t) for t in tasks]
        self.course = ParallelCourse.planned(timeline.starts, timeline.ends, owners)
        self.tests = ParallelTests(self, self.stream)
        keeps = self._owner(MEMORY) == self.agent
        self.memory.open(self.stream, mine=keeps)
        if keeps:
            self.log = StepLog(len(owners), timeline.steps)

    def _owner(self, task: int) -> int:
        if not self.together:
            return self.agent
        return int(self.stream.memory_owner if task == MEMORY else self.stream.owner(task))

    def learn(self, segment: int, tick: int) -> Asking[None]:
        """One optimiser step of all agents that share the model."""
        began = time.perf_counter()
        step = self.segment.first + tick
        rows = self._rows_of(step)
        own = self._own_gradients(step, rows)
        found = yield from self._sharing.compare(step, rows.row_owners, own, self.rows.facts)
        gradients = StepGradients(step, rows, found)
        if self.options.not_finite == "stop":
            gradients.refuse_nan()
        weights: npt.NDArray[np.float64] | None = np.zeros(len(rows.tasks))
        moved = self.combiner.sigma = None
        if gradients.kept.any():
            weights = yield from self._combine(gradients)
            moved = self._edit(gradients, own, weights)
            self._step(gradients.contributions)
        if self.log is not None:
            known = gradients.logged(weights, self.combiner.sigma)
            self.log.add(**known, moved=moved, wall_s=time.perf_counter() - began)

    def _combine(self, gradients: StepGradients) -> Asking[npt.NDArray[np.float64] | None]:
        """Make the direction, and what editing and the optimiser need beside it; the weights [n] or None."""
        step, combine = gradients.step, self._sharing.combine
        rng = numpy_generator(self.seed, self._draws_as, f"combine {step}")
        rule, weights = gradients.combined(self.combiner, rng)
        if self.editing is not None and gradients.edits:
            if self.editing.needs_new_gradient:
                yield from combine(step, gradients.mean_of_tasks(), self.editing.new_gradient)
            if gradients.parts > 1 and self.editing.editor.needs_memory_gradient:
                yield from combine(step, gradients.whole_memory(), self.editing.whole_gradient())
        yield from combine(step, rule, self._direction)
        if self._mean is not None:
            yield from combine(step, gradients.mean(), self._mean)
        return weights

    def _rows_of(self, step: int) -> StepRows:
        active = self.stream.timeline.active(step)
        shares = self.memory.shares(step, self.batch)
        return StepRows((MEMORY,) * bool(shares) + active, shares, tuple(map(self._owner, active)))

    def _own_gradients(self, step: int, rows: StepRows) -> list[OwnGradient]:
        own = [row for row, owner in enumerate(rows.row_owners) if owner == self.agent]
        batches = [self._batch(row, step, rows) for row in own]
        return [
            self.rows.gradient(row, number, rows.task_of(row), step, batch, self._pattern(rows.task_of(row)))
            for number, (row, batch) in enumerate(zip(own, batches, strict=True))
        ]

    def _pattern(self, task: int) -> Pattern | None:
        """A place for what the pass of the memory decides, for the edit of its rows. At each step some task
        is active beside it: no edit follows only when none of their gradients can be used."""
        return self.editing.pattern() if self.editing is not None and task == MEMORY else None

    def _batch(self, row: int, step: int, rows: StepRows) -> RowBatch:
        if row < rows.parts:
            count, masks = rows.shares[row][1], self.tests.memory_mask(step)
            return self.memory.batch(count, masks, count / sum(n for _, n in rows.shares))
        task = rows.task_of(row)
        train = self.stream.parallel_task(task).train
        part = train.part(self.stream.batch_rows(task, step, self.batch))
        return RowBatch(part.x(), part.y, self.tests.mask(task, step))

    def _edit(
        self, gradients: StepGradients, own: list[OwnGradient], weights: npt.NDArray[np.float64] | None
    ) -> Any:
        """Edit this agent's rows of the memory that were just used; how far each moved [m], or None."""
        if self.editing is None or not gradients.edits or not own or own[0].task != MEMORY:
            return None
        total = float(gradients.kept.sum()) if weights is None else float(weights.sum())
        if total <= 0:
            return None
        moved = self.editing.edit(gradients.step, own[0], self._direction, total, self.memory.quota)
        if not self.memory.gathers_counts:
            return moved
        self.editing.moves.add(gradients.step, moved)
        return None

    def _step(self, contributions: npt.NDArray[np.float32]) -> None:
        if self.device.type != "cpu":
            self.parameters.grad.copy_(self.rows.on_device(self._direction))
        self.rows.statistics.apply(contributions)
        square_of = None if self._mean is None else self.rows.on_device(self._mean)
        self.optimizer.step(self._always, square_of)

    def end_task(self) -> Asking[None]:
        """Rows of the tasks that have just ended go into the memory."""
        for task in self.segment.ended:
            yield from self._remember(task)
        if self.memory.gathers_counts:
            yield from self._tell(f"the end of step {self.segment.stop - 1}")

    def _tell(self, when: str) -> Asking[None]:
        """How many rows each agent holds, to all; how far edited ones have moved, to the one with the log."""
        held = np.array([len(self.memory.quota)], dtype=np.int64)
        self.memory.held[:] = np.concatenate((yield from self._sharing.gather(when, held, None)))
        if self.editing is None:
            return
        moves = yield from self._sharing.gather(when, self.editing.moves.take(), self._owner(MEMORY))
        if self.log is not None:
            for step, mean, largest in merged(moves):
                self.log.add_moved(step, mean, largest)

    def _remember(self, task: int) -> Asking[None]:
        giver = self._owner(task)
        keeper = giver if self.stream.splits_memory else self._owner(MEMORY)
        quota = self.memory.begin_finish(self.stream.parallel_task(task))
        packed = self.memory.pack(quota) if giver == self.agent else None
        if giver != keeper:
            found = yield from self._sharing.gather(f"the end of task {task}", packed, keeper)
            packed = found[giver] if self.memory.mine else None
        if self.memory.mine:
            self.memory.finish(packed)

    # --- measuring ----------------------------------------------------------------------------------

    def evaluate(self, upto: int) -> Asking[Scores]:
        """Accuracy [tasks] under the mask of the mode, NaN for tasks that are not tested now."""
        found = self.tests.accuracies(self.segment, [t for t in self._tested() if self._mine(t)])
        tables = yield from self._sharing.gather(f"the tests after step {self.segment.stop - 1}", found, None)
        whole = np.full_like(found, np.nan)
        for table in tables:
            np.copyto(whole, table, where=~np.isnan(table))
        self._enter(whole)
        return {ACCURACY.name: whole[:, 0]}

    def _mine(self, task: int) -> bool:
        return self._owner(task) == self.agent

    def _tested(self) -> tuple[int, ...]:
        timeline = self.stream.timeline
        last = self.segment.stop == timeline.steps
        if self.stream.options.evaluate == "just ended" and not last:
            return tuple(self.segment.ended)
        return tuple(range(timeline.started(self.segment.stop - 1)))

    def _enter(self, table: npt.NDArray[np.float64]) -> None:
        assert self.course is not None
        ended = list(self.segment.ended)
        self.course.first[ended] = table[ended]
        if self.segment.stop == self.stream.timeline.steps:
            self.course.final[:] = table

    # --- record ---------------------------------------------------------------------------------------

    def tables(self) -> Tables:
        """`course`; on the agent that keeps the memory `steps`, and `gallery`: rows as they came and are."""
        found = {} if self.course is None else {COURSE: self.course.table()}
        if self.log is not None:
            found[STEPS] = self.log.table()
        rows = self.memory.gallery() if self.editing is not None and self.memory.mine else None
        return found | ({} if rows is None else {"gallery": rows})

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the course and the log that a checkpoint holds, after `load`."""
        if self.course is not None:
            self.course = ParallelCourse.from_table(tables[COURSE])
        if self.log is not None:
            self.log.load(tables[STEPS])

    # --- checkpoint -----------------------------------------------------------------------------------

    def state(self) -> State:
        """Everything that a resumed run needs, but for the rows of the stream and the log of the steps."""
        return {
            "segment": -1 if self.segment is None else self.segment.index,
            "parameters": self.parameters.state(),
            "optimizer": self.optimizer.state(),
            "combiner": state_of(self.combiner),
            "editing": self.editing.state() if self.editing is not None else {},
            "memory": self.memory.state(),
            "sharing": self._sharing.state(),
            "flops": self.meter.total,
        }

    def load(self, state: State, task_of: Callable[[int], Any] | None = None) -> None:
        """Go on from `state`; `task_of(index)` gives the segments. The record comes by `load_tables`."""
        if int(state["segment"]) >= 0:
            if task_of is None:
                raise ValueError("`task_of` should be given to go on from a state. Found none.")
            self.begin_task(task_of(int(state["segment"])))
        self.parameters.load(state["parameters"])
        self.optimizer.load(state["optimizer"])
        self.combiner.load(state["combiner"])
        if self.editing is not None:
            self.editing.load(state["editing"])
        self.memory.load(state["memory"])
        self._sharing.load(state["sharing"])
        self.meter.total = int(state["flops"])
