"""How fast a new task is learned: the accuracy on the current task, over the ticks spent on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.views.groups import Group
from mpidcl.views.mean_error import Pair, band
from mpidcl.views.tasks.curves import Models, TaskCurve, Value, current, group_lines
from mpidcl.views.tasks.metrics import Course
from mpidcl.views.units import axis, scale


def speed_curve(
    records: Models, value: Value = current
) -> tuple[NDArray[np.float64], dict[Pair, NDArray[np.float64]]]:
    """Ticks `[n]`, and each agent's accuracy on its current task `[n]`: mean of tasks learned alone.

    `value`: another accuracy of an evaluation, such as `curves.seen`, all tasks so far.

    A task with fewer ticks than another keeps its last accuracy; between evaluations it is interpolated.
    Agents that learned no task alone are left out.
    """
    courses = {pair: Course(record.evaluations, record.joint_tasks) for pair, record in records.items()}
    lives = {pair: [one.by_task[task] for task in one.single_tasks()] for pair, one in courses.items()}
    ticks = np.array(
        sorted({row.tick for life in lives.values() for rows in life for row in rows}), np.float64
    )
    curves = {
        pair: [np.interp(ticks, [row.tick for row in rows], [value(row) for row in rows]) for rows in life]
        for pair, life in lives.items()
    }
    return ticks, {pair: np.mean(curve, axis=0) for pair, curve in curves.items() if curve}


def group_speeds(groups: Sequence[Group]) -> Figure:
    """Mean over agents and seeds with its error; the area below is the learning speed of the table."""
    main = groups[0].main

    def mean(models: Models) -> TaskCurve | None:
        ticks, agents = speed_curve(models)
        return TaskCurve(ticks, *(scale(main.unit) * part for part in band(agents))) if agents else None

    words = axis(f"{main.words} on the current task", main.unit)
    return group_lines(groups, mean, "ticks spent on the task", words, 1.0)
