"""Metrics of continual learning, of each agent (docs/metrics.md); `mean_error.py` averages them.

Notation of "Distributed Continual Learning" (arXiv 2405.17466): a[t, e](u) is the value on task u after
e ticks of task t, E the last tick of a task. The first `joint_tasks` = k0 tasks are learned together: only
t >= k0 - 1 counts, and "when task u was learned" means t = k0 - 1 for u < k0. Values are those of the main
measure. Where lower is better, backward transfer and forgetting have the other sign: positive forgetting
means loss, whatever is measured.

`bwt`, `fwt` and `forgetting_max` are what most papers print: with R[i][j], the value on task j after task i,
and T tasks, the formulas of "Gradient Episodic Memory" (arXiv 1706.08840) and of the public code of Mammoth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.records import AgentRecord, Evaluation, mean_of


class Course:
    """The evaluations of one agent in order (`rows`) and by task, of tasks t >= max(joint_tasks - 1, 0) only.

    `begins[t]` is the evaluation before the first tick of t (absent when none was made), `ends[t]` the last;
    `last` is the last of all, one without values where there is none.
    """

    def __init__(self, evaluations: Iterable[Evaluation], joint_tasks: int = 0) -> None:
        counted = (one for one in evaluations if one.task >= joint_tasks - 1)
        self.joint_tasks = joint_tasks
        self.rows = sorted(counted, key=lambda one: (one.task, one.tick))
        self.by_task = {task: list(rows) for task, rows in groupby(self.rows, lambda one: one.task)}
        self.ends = {task: rows[-1] for task, rows in self.by_task.items()}
        self.begins = {task: rows[0] for task, rows in self.by_task.items() if rows[0].tick == 0}
        self.last = self.rows[-1] if self.rows else Evaluation(0, 0, {})

    @classmethod
    def of(cls, record: AgentRecord) -> Course:
        """Of the agent of a record."""
        return cls(record.evaluations, record.joint_tasks)

    def alone(self) -> list[list[Evaluation]]:
        """Those of each task that was learned alone: t >= k0, or all without a joint phase (k0 < 2)."""
        first = self.joint_tasks if self.joint_tasks > 1 else 0
        return [rows for task, rows in self.by_task.items() if task >= first]

    def learned(self, task: int) -> Evaluation | None:
        """The evaluation when `task` had just been learned (joint tasks: at the end of the last of them)."""
        return self.ends.get(max(task, self.joint_tasks - 1))


def agent_metrics(
    evaluations: Iterable[Evaluation], joint_tasks: int = 0, measures: Sequence[Measure] = (ACCURACY,)
) -> dict[str, float]:
    """All metrics of one agent from its evaluations, in any order, by name.

    NaN where the run cannot define one (no task after the joint ones, say). Of measures but the main one only
    the average and the final one.
    Two tasks of 10 ticks; learning the second costs 10 points on the first:

    >>> moments = [(0, 0, (0.5,)), (0, 10, (0.9,)), (1, 0, (0.9, 0.6)), (1, 10, (0.8, 1.0))]
    >>> rows = [Evaluation(task, tick, {"accuracy": values}) for task, tick, values in moments]
    >>> found = agent_metrics(rows)
    >>> [round(found[name], 3) for name in ("final_accuracy", "backward_transfer", "forgetting")]
    [0.9, -0.1, 0.05]
    """
    course, (main, *more) = Course(evaluations, joint_tasks), measures
    sign = -1.0 if main.better == "lower" else 1.0
    found = {f"{when}_{main.name}": of(course, main.name) for when, of in _ANY.items()} | {
        "learning_speed": learning_speed(course),
        "learning_speed_current": learning_speed(course, current=True),
        "forward_transfer": forward_transfer(course),
    }
    differences = {"backward_transfer": backward_transfer, "forgetting": forgetting, "bwt": bwt, "fwt": fwt}
    found |= {name: sign * of(course) + 0.0 for name, of in differences.items()}  # nothing lost is no -0
    found["forgetting_max"] = forgetting_max(course, sign) + 0.0
    return found | {f"{when}_{one.name}": of(course, one.name) for one in more for when, of in _ANY.items()}


def average(course: Course, measure: str) -> float:
    """mean_t mean_{u <= t} a[t, E](u), of any measure."""
    return _mean(mean_of(end.values[measure]) for end in course.ends.values())


def final(course: Course, measure: str) -> float:
    """mean_u a[T-1, E](u), of any measure."""
    return mean_of(course.last.values.get(measure, ()))


_ANY = {"average": average, "final": final}


def learning_speed(course: Course, *, current: bool = False) -> float:
    """Area under the measure over ticks, divided by the span of ticks, mean over tasks learned alone.

    The curve is the mean over seen tasks, or with `current` a[t, e](t). The published numbers are not
    divided: multiply by their span of 101 epochs. With one tick grid for all tasks this is the area
    under the curve averaged over tasks, as published.
    """
    return _mean(_area(rows, current) for rows in course.alone())


def forward_transfer(course: Course) -> float:
    """mean_t a[t, 0](t): the measure on a task before anything was learned of it (zero-shot)."""
    return _mean(begin.main[task] for task, begin in course.begins.items())


def backward_transfer(course: Course) -> float:
    """Mean over t and u < t of a[t, E](u) - a[t, 0](u): what learning t did to the tasks before it."""
    return _mean(
        course.ends[task].main[u] - begin.main[u]
        for task, begin in course.begins.items()
        for u in range(task)
    )


def forgetting(course: Course) -> float:
    """mean_u a[u, E](u) - a[T-1, E](u): what was lost since a task was learned. Positive is bad."""
    return _lost(course, len(course.last.main))


def bwt(course: Course) -> float:
    """mean_{j < T-1} R[T-1][j] - R[j][j]: what became of each task but the last since it was learned."""
    return -_lost(course, len(course.last.main) - 1)


def _lost(course: Course, tasks: int) -> float:
    """Of so many tasks, the first ones."""
    learned = ((u, course.learned(u)) for u in range(tasks))
    return _mean(then.main[u] - course.last.main[u] for u, then in learned if then is not None)


def forgetting_max(course: Course, sign: float = 1.0) -> float:
    """mean_{j < T-1} max_i R[i][j] - R[T-1][j]: what was lost since each task was known best.

    "Riemannian Walk" (arXiv 1801.10112) takes the maximum over i < T-1 only. As in Mammoth's code the last
    row takes part here: 0, and not a negative number, where a task is known best at the end. `sign` -1:
    lower is better.
    """
    last, ends = course.last.main, [end.main for end in course.ends.values()]
    return _mean(
        max(sign * end[j] for end in ends if j < len(end)) - sign * last[j] for j in range(len(last) - 1)
    )


def fwt(course: Course) -> float:
    """mean_{j >= 1} R[j-1][j] - R[-1][j]: what the tasks before j give it, against the first weights.

    R[-1] is measured before the first step. NaN without `[evaluation] ahead`, which measures both. The joint
    tasks count as the first one.
    """
    first = course.begins.get(min(course.ends, default=0))
    if first is None:
        return np.nan
    return _mean(course.ends[j - 1].on(j) - first.on(j) for j in course.ends if j - 1 in course.ends)


def _area(rows: Sequence[Evaluation], current: bool) -> float:
    values = np.array([row.current if current else row.mean for row in rows])
    ticks = np.array([row.tick for row in rows], np.float64)
    span = ticks[-1] - ticks[0]
    return float(np.trapezoid(values, ticks) / span) if span else float(values[-1])


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else np.nan
