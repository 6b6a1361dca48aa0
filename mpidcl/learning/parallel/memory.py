"""The memory of parallel learning: all agents know when there is one.

One agent keeps the rows, or each agent those of its own tasks; then the batch of a step is divided between
them as a draw from all rows would fall, which every agent can tell from how many rows each of them holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpidcl.base.shape import Shape
from mpidcl.learning.parallel.gradients import RowBatch
from mpidcl.learning.parallel.masks import Mask
from mpidcl.learning.parallel.parts import Share, shares_of
from mpidcl.memory.quota import QuotaMemory, budget_rows, choose
from mpidcl.randomness import EVERYBODY, numpy_generator

GALLERY_ROWS = 12
"""Rows of the memory that the record shows."""

Packed = npt.NDArray[np.uint8]


class TaskMemory:
    """Rows of finished tasks; `quota` is the memory itself, or this agent's part of it, where `mine`.

    `held` int64 [agents]: rows of each agent, where the memory is split between them.
    """

    def __init__(self, experiment: Any, agent: int, draws_as: int, shape: Shape) -> None:
        self._experiment, self._agent, self._draws_as, self._shape = experiment, agent, draws_as, shape
        self._replays = bool(experiment.learning.terms)
        self._row = np.dtype([("y", np.int64), ("x", np.float32, tuple(shape.input_shape))])
        self._ended: list[Any] = []
        self.mine = False
        self.held = np.zeros(experiment.agents, dtype=np.int64)
        self.quota: QuotaMemory

    def open(self, stream: Any, mine: bool) -> None:
        """Make room for rows, if this agent keeps any."""
        self._stream, self.mine = stream, mine or stream.splits_memory
        options, classes = self._experiment.memory.options, sum(map(len, stream.classes))
        drawer = self._agent if stream.splits_memory else self._draws_as
        rng = numpy_generator(self._experiment.seed, drawer, "memory")
        # agents that keep no rows know the rule of the quota as well: they send no more than can stay
        self.quota = QuotaMemory(options, self.budget(stream), classes, self._shape.input_shape, rng)

    def budget(self, stream: Any) -> int:
        """Rows that fit. Raises ExperimentError for too little room for the classes of `stream`."""
        classes, capacity = sum(map(len, stream.classes)), self._experiment.memory.capacity
        return budget_rows(capacity, classes, stream.tasks, self._row.itemsize)

    @property
    def gathers_counts(self) -> bool:
        """Whether agents have to be told, when tasks have ended, how many rows each holds."""
        return bool(self._replays and self._stream.splits_memory)

    def shares(self, step: int, count: int) -> tuple[Share, ...]:
        """Who gives how many rows of a batch of `count` at `step`, the same on all agents.

        () when there is no gradient of the memory.
        """
        if not self._replays or step < self._stream.timeline.memory_from:
            return ()
        if not self._stream.splits_memory:
            return ((self._stream.memory_owner, count),)
        rng = numpy_generator(self._experiment.seed, EVERYBODY, f"shares of the memory's batch {step}")
        return shares_of(self.held.tolist(), count, rng)

    def batch(self, count: int, masks: Mask, share: float = 1.0) -> RowBatch:
        """The next rows, with the classes [classes] that each may mean from `masks [classes, classes]`.

        share: that of `count` in the rows of all agents.
        """
        rows = self.quota.batch(count)
        return RowBatch(rows.x, rows.y, masks[rows.y], rows.index, rows.generation, share)

    def begin_finish(self, task: Any) -> int:
        """Note that `task` has ended; rows of each class that may stay from now on."""
        self._ended.append(task)
        return self._quota()

    def _quota(self) -> int:
        return self.quota.quota(sum(len(ended.classes) for ended in self._ended))

    def pack(self, quota: int) -> Packed | None:
        """At most `quota` rows of each class of the task that ended last, as bytes; None: nothing to keep."""
        if not self._replays:
            return None
        task = self._ended[-1]
        rng = numpy_generator(
            self._experiment.seed, self._draws_as, f"rows of task {task.index} for the memory"
        )
        chosen = choose(task.train.y, task.classes, quota, rng)
        part = task.train.part(chosen)
        rows = np.empty(len(part), self._row)
        rows["y"], rows["x"] = part.y, part.x()
        packed: Packed = rows.view(np.uint8)
        return packed

    def finish(self, packed: Packed | None) -> None:
        """Keep the rows that `pack` gave on the agent of the task that ended last; None: there are none here.

        Older classes shrink on every agent that keeps some.
        """
        if packed is None:
            if self.mine:
                self.quota.shrink(self._quota())
            return
        task = self._ended[-1]
        rows = np.ascontiguousarray(packed).view(self._row)
        self.quota.finish(task.index, rows["x"], rows["y"], task.classes, self._quota())

    def gallery(self) -> dict[str, npt.NDArray[Any]] | None:
        """Rows at equal distances in the memory, beside what they were when they came; None: no rows."""
        if not len(self.quota) or not self.quota.options.keep_originals:
            return None
        every = self.quota.rows
        index = every[np.linspace(0, len(every) - 1, min(GALLERY_ROWS, len(every))).astype(np.int64)]
        rows = self.quota.take(index)
        return {
            "x": rows.x,
            "original": self.quota.original(index),
            "y": rows.y,
            "task": rows.task,
            "displacement": self.quota.displacement(index),
        }

    def state(self) -> dict[str, Any]:
        """The rows where they are kept, and which tasks have ended."""
        ended = np.array([task.index for task in self._ended], dtype=np.int64)
        return {"ended": ended, "held": self.held.copy(), "quota": self.quota.state() if self.mine else {}}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned, after `open`."""
        self._ended = [self._stream.parallel_task(int(task)) for task in state["ended"]]
        self.held[:] = state["held"]
        if self.mine:
            self.quota.load(state["quota"])
