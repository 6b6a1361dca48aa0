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

import numpy as np

from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.records import Evaluation, mean_of


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


def metric_names(measures: Sequence[Measure]) -> tuple[str, ...]:
    """Names of the metrics: all of the main measure, of further ones the average and the final one."""
    main, *more = measures
    few = (f"average_{one.name}" for one in more), (f"final_{one.name}" for one in more)
    own = (f"average_{main.name}", f"final_{main.name}", *_OF_THE_MAIN)
    return (*own, *(name for pair in zip(*few, strict=True) for name in pair))


def agent_metrics(
    evaluations: Iterable[Evaluation], joint_tasks: int = 0, measures: Sequence[Measure] = (ACCURACY,)
) -> dict[str, float]:
    """All metrics of one agent from its evaluations, in any order, by name (`metric_names`).

    NaN where the run cannot define one (no task after the joint ones, say).
    Two tasks of 10 ticks; learning the second costs 10 points on the first:

    >>> moments = [(0, 0, (0.5,)), (0, 10, (0.9,)), (1, 0, (0.9, 0.6)), (1, 10, (0.8, 1.0))]
    >>> rows = [Evaluation(task, tick, {"accuracy": values}) for task, tick, values in moments]
    >>> found = agent_metrics(rows)
    >>> [round(found[name], 3) for name in ("final_accuracy", "backward_transfer", "forgetting")]
    [0.9, -0.1, 0.05]
    """
    course = Course(evaluations, joint_tasks)
    sign = -1.0 if measures[0].better == "lower" else 1.0
    values = (
        average(course),
        final(course),
        learning_speed(course),
        learning_speed(course, current=True),
        forward_transfer(course),
        sign * backward_transfer(course) + 0.0,  # a loss of nothing is no -0
        sign * forgetting(course) + 0.0,
        sign * bwt(course) + 0.0,
        sign * fwt(course) + 0.0,
        forgetting_max(course, sign) + 0.0,
    )
    few = (of(course, one.name) for one in measures[1:] for of in (average, final))
    return dict(zip(metric_names(measures), (*values, *few), strict=True))


_OF_THE_MAIN = (
    "learning_speed", "learning_speed_current", "forward_transfer", "backward_transfer", "forgetting",
    "bwt", "fwt", "forgetting_max",
)  # fmt: skip


def average(course: Course, measure: str | None = None) -> float:
    """mean_t mean_{u <= t} a[t, E](u), of the main measure or another one."""
    return _mean(_over_tasks(end, measure) for end in course.ends.values())


def final(course: Course, measure: str | None = None) -> float:
    """mean_u a[T-1, E](u), of the main measure or another one."""
    return _over_tasks(course.ends[max(course.ends)], measure) if course.ends else np.nan


def _over_tasks(evaluation: Evaluation, measure: str | None) -> float:
    return evaluation.mean if measure is None else mean_of(evaluation.values[measure])


def learning_speed(course: Course, *, current: bool = False) -> float:
    """Area under the measure over ticks, divided by the span of ticks, mean over tasks learned alone.

    The curve is the mean over seen tasks, or with `current` a[t, e](t). The published numbers are not
    divided: multiply by their span of 101 epochs. With one tick grid for all tasks this is the area
    under the curve averaged over tasks, as published.
    """
    return _mean(_area(course.by_task[task], current) for task in course.single_tasks())


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
    if not course.ends:
        return np.nan
    last = course.ends[max(course.ends)]
    learned = ((u, course.learned(u)) for u in range(len(last.main)))
    return _mean(then.main[u] - last.main[u] for u, then in learned if then is not None)


def bwt(course: Course) -> float:
    """mean_{j < T-1} R[T-1][j] - R[j][j]: what became of each task but the last since it was learned."""
    last, tasks = _last(course)
    learned = ((j, course.learned(j)) for j in tasks)
    return _mean(last.main[j] - then.main[j] for j, then in learned if then is not None)


def forgetting_max(course: Course, sign: float = 1.0) -> float:
    """mean_{j < T-1} max_i R[i][j] - R[T-1][j]: what was lost since each task was known best.

    "Riemannian Walk" (arXiv 1801.10112) takes the maximum over i < T-1 only. As in Mammoth's code the last
    row takes part here: 0, and not a negative number, where a task is known best at the end. `sign` -1:
    lower is better.
    """
    last, tasks = _last(course)
    best = {
        j: max((sign * end.main[j] for end in course.ends.values() if j < len(end.main)), default=np.nan)
        for j in tasks
    }
    return _mean(best[j] - sign * last.main[j] for j in tasks)


def fwt(course: Course) -> float:
    """mean_{j >= 1} R[j-1][j] - R[-1][j]: what the tasks before j give it, against the first weights.

    R[-1] is measured before the first step. NaN without `[evaluation] ahead`, which measures both. The joint
    tasks count as the first one.
    """
    if not course.ends:
        return np.nan
    first = course.begins.get(min(course.ends))
    if first is None:
        return np.nan
    pairs = ((course.ends[j - 1].on(j), first.on(j)) for j in course.ends if j - 1 in course.ends)
    return _mean(before - random for before, random in pairs)


def _last(course: Course) -> tuple[Evaluation, range]:
    """The last evaluation, and the tasks before the last one."""
    if not course.ends:
        return Evaluation(0, 0, {}), range(0)
    last = course.ends[max(course.ends)]
    return last, range(len(last.main) - 1)


def _area(rows: Sequence[Evaluation], current: bool) -> float:
    values = np.array([row.main[row.task] if current else row.mean for row in rows])
    ticks = np.array([row.tick for row in rows], np.float64)
    span = ticks[-1] - ticks[0]
    return float(np.trapezoid(values, ticks) / span) if span else float(values[-1])


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else np.nan
