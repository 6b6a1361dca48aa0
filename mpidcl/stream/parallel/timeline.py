"""When the tasks of a parallel stream begin and end, in optimiser steps.

The arrival rule and the lists of starts are those of the public streams of parallel continual learning
(Lyu et al., "Elastic Multi-Gradient Descent for Parallel Continual Learning", arXiv 2401.01054).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpidcl.errors import ExperimentError
from mpidcl.experiment.sections import MOST_STEPS

PUBLISHED: dict[str, tuple[int, ...]] = {
    "emnist-0": (0, 815, 1538, 2856, 3933),
    "emnist-1": (0, 203, 205, 444, 895),
    "emnist-2": (0, 547, 878, 1418, 2419),
    "cifar100-0": (0, 19, 57, 69, 93, 108, 131, 157, 187, 217),
    "cifar100-1": (0, 11, 45, 47, 50, 57, 92, 108, 124, 126),
    "cifar100-2": (0, 35, 46, 63, 91, 122, 137, 170, 206, 239),
    "tiny-0": (0, 303, 514, 808, 861, 1065, 1217, 1360, 1537, 1816),
    "tiny-1": (0, 203, 493, 495, 734, 897, 951, 1072, 1344, 1616),
    "tiny-2": (0, 35, 63, 119, 302, 402, 691, 892, 947, 966),
}
"""Starts of the public streams by name. Those of EMNIST are for its first label set (`PUBLISHED_DURATIONS`),
those of CIFAR-100 and Tiny ImageNet for all label sets, whose tasks are equally long."""

PUBLISHED_DURATIONS: dict[str, tuple[int, ...]] = {
    "emnist": (910, 1029, 1343, 1229, 944),
    "cifar100": (40,) * 10,
    "tiny": (313,) * 10,
}
"""Steps of each task that `PUBLISHED` was drawn for: one epoch in batches of 128, 128 and 32 rows."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps `first..stop - 1`, after which the tasks `ended` are over; the last step is the only end."""

    index: int
    first: int
    stop: int
    ended: tuple[int, ...]


@dataclass(frozen=True)
class Timeline:
    """Tasks t that are active from step `starts[t]` to `starts[t] + durations[t] - 1`, both included.

    Raises ExperimentError unless the starts are ordered, the first is 0, every duration is at least 1,
    and at each step up to the last end some task is active.
    """

    starts: tuple[int, ...]
    durations: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.starts or len(self.starts) != len(self.durations):
            raise ExperimentError(
                "A timeline should have a start and a duration for each task, and one task at least."
                f" Found {len(self.starts)} starts and {len(self.durations)} durations."
            )
        for task, duration in enumerate(self.durations):
            if duration < 1:
                raise ExperimentError(f"Task {task} should last at least 1 step. Found {duration}.")
        if self.starts[0] != 0:
            raise ExperimentError(f"Task 0 should start at step 0. Found {self.starts[0]}.")
        for task in range(1, len(self.starts)):
            self._check_start(task)
        if self.steps > MOST_STEPS:
            raise ExperimentError(
                f"A parallel stream should have at most {MOST_STEPS:,} steps: a run keeps what each of them"
                f" did. Found {self.steps:,}. Lower `stream.durations`, or raise `learning.batch`."
            )

    def _check_start(self, task: int) -> None:
        """Neither before the task in front of it, nor after a step without any task."""
        before, start, free = self.starts[task - 1], self.starts[task], max(self.ends[:task]) + 1
        if start < before:
            raise ExperimentError(
                f"Starts should be in order: task {task} should start at step {before}, where task {task - 1}"
                f" does, or later. Found {start}. Number the tasks in the order in which they start."
            )
        if start > free:
            raise ExperimentError(
                f"At each step some task should be active: task {task} should start at step {free}, where"
                f" the tasks before it are over, or earlier. Found {start}, with tasks of"
                f" {', '.join(map(str, self.durations))} steps. Start it earlier, or make tasks longer."
            )

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Last step of each task."""
        return tuple(start + length - 1 for start, length in zip(self.starts, self.durations, strict=True))

    @property
    def steps(self) -> int:
        """Steps of the whole timeline."""
        return max(self.ends) + 1

    @property
    def memory_from(self) -> int:
        """First step at which a finished task can be remembered; `steps` when none ends before the last."""
        return min(self.ends) + 1

    def active(self, step: int) -> tuple[int, ...]:
        """Tasks with a batch at `step`, by number."""
        return tuple(t for t, start in enumerate(self.starts) if start <= step <= self.ends[t])

    @cached_property
    def changes(self) -> tuple[int, ...]:
        """Steps at which the active tasks, or the finished ones, are others than at the step before."""
        return tuple(sorted({*self.starts, *(end + 1 for end in self.ends)} - {self.steps}))

    def started(self, step: int) -> int:
        """How many tasks have started at `step` or before: tasks 0 .. started - 1."""
        return int(np.searchsorted(self.starts, step, side="right"))

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The steps between one end and the next; together all steps."""
        stops = sorted({end + 1 for end in self.ends})
        return tuple(
            Segment(i, first, stop, tuple(t for t, end in enumerate(self.ends) if end + 1 == stop))
            for i, (first, stop) in enumerate(zip([0, *stops], stops, strict=False))
        )


def draw_starts(durations: Sequence[int], rng: np.random.Generator) -> tuple[int, ...]:
    """Starts of tasks of these durations: s_0 = 0, s_t uniform in s_{t-1} .. max_{j<t} e_j, both included.

    So starts are in order, a step without a task cannot be, and overlaps have any size. The draws of early
    tasks do not depend on how many follow.
    """
    starts = [0]
    busy = durations[0] - 1
    for duration in durations[1:]:
        starts.append(int(rng.integers(starts[-1], busy, endpoint=True)))
        busy = max(busy, starts[-1] + duration - 1)
    return tuple(starts)
