"""Metrics of continual learning, of each agent (docs/metrics.md); `mean_error.py` averages them.

Notation of "Distributed Continual Learning" (arXiv 2405.17466): a[t, e](u) is the accuracy on task u after
e ticks of task t, E the last tick of a task. The first `joint_tasks` = k0 tasks are learned together: only
t >= k0 - 1 counts, and "when task u was learned" means t = k0 - 1 for u < k0. All values are fractions 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from mpidcl.record.records import Evaluation


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of one agent; NaN where the run cannot define one (no task after the joint ones, say)."""

    average_accuracy: float
    final_accuracy: float
    learning_speed: float
    learning_speed_current: float
    forward_transfer: float
    backward_transfer: float
    forgetting: float

    def as_dict(self) -> dict[str, float]:
        """Name to value."""
        return asdict(self)


class Course:
    """The evaluations of one agent by task, for tasks t >= max(joint_tasks - 1, 0) only.

    `begins[t]` is the evaluation before the first tick of t (absent when none was made), `ends[t]` the last.
    """

    def __init__(self, evaluations: Iterable[Evaluation], joint_tasks: int = 0) -> None:
        self.joint_tasks = joint_tasks
        self.by_task: dict[int, list[Evaluation]] = {}
        for evaluation in sorted(evaluations, key=lambda one: (one.task, one.tick)):
            if evaluation.task >= joint_tasks - 1:
                self.by_task.setdefault(evaluation.task, []).append(evaluation)
        self.ends = {task: rows[-1] for task, rows in self.by_task.items()}
        self.begins = {task: rows[0] for task, rows in self.by_task.items() if rows[0].tick == 0}

    def single_tasks(self) -> list[int]:
        """The tasks that were learned alone: t >= k0, or all when there was no joint phase (k0 < 2)."""
        first = self.joint_tasks if self.joint_tasks > 1 else 0
        return [task for task in self.by_task if task >= first]

    def learned(self, task: int) -> Evaluation | None:
        """The evaluation when `task` had just been learned (joint tasks: at the end of the last of them)."""
        return self.ends.get(max(task, self.joint_tasks - 1))


def agent_metrics(evaluations: Iterable[Evaluation], joint_tasks: int = 0) -> Metrics:
    """All metrics of one agent from its evaluations, in any order.

    Two tasks of 10 ticks; learning the second costs 10 points on the first:

    >>> moments = [(0, 0, (0.5,)), (0, 10, (0.9,)), (1, 0, (0.9, 0.6)), (1, 10, (0.8, 1.0))]
    >>> found = agent_metrics(Evaluation(*moment) for moment in moments)
    >>> round(found.final_accuracy, 3), round(found.backward_transfer, 3), round(found.forgetting, 3)
    (0.9, -0.1, 0.05)
    """
    course = Course(evaluations, joint_tasks)
    return Metrics(
        average_accuracy=average_accuracy(course),
        final_accuracy=final_accuracy(course),
        learning_speed=learning_speed(course),
        learning_speed_current=learning_speed(course, current=True),
        forward_transfer=forward_transfer(course),
        backward_transfer=backward_transfer(course),
        forgetting=forgetting(course),
    )


def average_accuracy(course: Course) -> float:
    """mean_t mean_{u <= t} a[t, E](u)."""
    return _mean(end.mean for end in course.ends.values())


def final_accuracy(course: Course) -> float:
    """mean_u a[T-1, E](u)."""
    return course.ends[max(course.ends)].mean if course.ends else np.nan


def learning_speed(course: Course, *, current: bool = False) -> float:
    """Area under the accuracy over ticks, divided by the span of ticks, mean over tasks learned alone.

    The curve is the mean over seen tasks, or with `current` a[t, e](t). The published numbers are not
    divided: multiply by their span of 101 epochs. With one tick grid for all tasks this is the area
    under the curve averaged over tasks, as published.
    """
    return _mean(_area(course.by_task[task], current) for task in course.single_tasks())


def forward_transfer(course: Course) -> float:
    """mean_t a[t, 0](t): accuracy on a task before anything was learned of it (zero-shot)."""
    return _mean(begin.accuracy[task] for task, begin in course.begins.items())


def backward_transfer(course: Course) -> float:
    """Mean over t and u < t of a[t, E](u) - a[t, 0](u): what learning t did to the tasks before it."""
    return _mean(
        course.ends[task].accuracy[u] - begin.accuracy[u]
        for task, begin in course.begins.items()
        for u in range(task)
    )


def forgetting(course: Course) -> float:
    """mean_u a[u, E](u) - a[T-1, E](u): what was lost since a task was learned. Positive is bad."""
    if not course.ends:
        return np.nan
    last = course.ends[max(course.ends)]
    learned = ((u, course.learned(u)) for u in range(len(last.accuracy)))
    return _mean(then.accuracy[u] - last.accuracy[u] for u, then in learned if then is not None)


def divergence(own: ArrayLike, other: ArrayLike) -> float:
    """Mean absolute difference of two parameter vectors `[n]`; 0 for empty ones.

    Raises ValueError when the shapes differ.
    """
    first, second = np.asarray(own), np.asarray(other)
    if first.shape != second.shape:
        raise ValueError(f"Both vectors should have one shape. Found {first.shape} and {second.shape}.")
    return float(np.mean(np.abs(first - second), dtype=np.float64)) if first.size else 0.0


def _area(rows: Sequence[Evaluation], current: bool) -> float:
    values = np.array([row.accuracy[row.task] if current else row.mean for row in rows])
    ticks = np.array([row.tick for row in rows], np.float64)
    span = ticks[-1] - ticks[0]
    return float(np.trapezoid(values, ticks) / span) if span else float(values[-1])


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else np.nan
