"""Accuracy over time and over ticks: the mean with its standard error, and every task of every agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.views.figures.style import (
    COLOURS,
    Label,
    colour,
    end_labels,
    line,
    new_figure,
    new_panel,
    note,
    sequence,
    shade,
    whole_numbers,
)
from mpidcl.views.groups import Group
from mpidcl.views.mean_error import Pair, band
from mpidcl.views.tasks.metrics import Course
from mpidcl.views.units import axis, scale
from mpidcl.views.views import records_in

Models = Mapping[Pair, AgentRecord]
"""By (seed, agent)."""
Value = Callable[[Evaluation], float]
MOST_PANELS = 24
TIME = "tasks learned (schedule time)"


@dataclass(frozen=True)
class TaskCurve:
    """Mean and standard error while one task is learned; `[n]` each, in schedule time."""

    time: NDArray[np.float64]
    mean: NDArray[np.float64]
    error: NDArray[np.float64]


def seen(evaluation: Evaluation) -> float:
    """Mean accuracy on the tasks seen so far."""
    return evaluation.mean


def current(evaluation: Evaluation) -> float:
    """The main measure on the task that is being learned."""
    return evaluation.main[evaluation.task]


def of_one_run(records: Sequence[AgentRecord]) -> dict[Pair, AgentRecord]:
    """By (seed, agent), where all have one seed."""
    return {(0, record.agent): record for record in records}


def mean_curves(records: Models, value: Value) -> list[TaskCurve]:
    """One curve per task, over the agents that have it; agents evaluated at other times are interpolated."""
    courses = {pair: Course(record.evaluations, record.joint_tasks) for pair, record in records.items()}
    tasks = sorted({task for course in courses.values() for task in course.by_task})
    return [
        _task_curve({pair: one.by_task[task] for pair, one in courses.items() if task in one.by_task}, value)
        for task in tasks
    ]


def _task_curve(agents: Mapping[Pair, Sequence[Evaluation]], value: Value) -> TaskCurve:
    time = np.array(sorted({row.time for rows in agents.values() for row in rows}))
    lines = {
        pair: np.interp(time, [row.time for row in rows], [value(row) for row in rows])
        for pair, rows in agents.items()
    }
    return TaskCurve(time, *band(lines))


def draw_mean(
    axes: Axes, curves: Sequence[TaskCurve], words: str, ink: str, line: str = "-", factor: float = 100.0
) -> Label:
    """Mean as line, mean ± standard error as band, a break where the next task begins; its label."""
    for curve in curves:
        low, high = (factor * (curve.mean + side * curve.error) for side in (-1, 1))
        shade(axes, curve.time, low, high, ink)
        axes.plot(curve.time, factor * curve.mean, color=ink, linestyle=line)
    return factor * float(curves[-1].mean[-1]), words, ink


def time_axis(axes: Axes, records: Sequence[AgentRecord]) -> None:
    """From the first evaluation that counts to the last, ticks at whole tasks."""
    times = [row.time for record in records for row in _counted(record)]
    axes.set_xlim(min(times), max(max(times), min(times) + 1e-9))
    whole_numbers(axes.xaxis, 12)


def learning_curves(records: Sequence[AgentRecord]) -> Figure:
    """Mean over agents, the band is ± one standard error over the agents of this run, which share its seed.
    Each time a task begins, the curve starts anew: the new task joins the mean before anything was learned of
    it. A blue line that ends lower from task to task is forgetting.
    """
    figure, axes = new_panel(3.4)
    main, models = records[0].main, of_one_run(records)
    lines = ((seen, "all tasks\nseen so far", COLOURS[0]), (current, "current\ntask", COLOURS[1]))
    labels = [
        draw_mean(axes, mean_curves(models, value), words, ink, factor=scale(main.unit))
        for value, words, ink in lines
    ]
    time_axis(axes, records)
    axes.set(xlabel=TIME, ylabel=axis(main.words, main.unit))
    end_labels(axes, axes.get_xlim()[1], labels, gap=0.16)
    return figure


def group_curves(groups: Sequence[Group]) -> Figure:
    """Mean over agents and seeds of the accuracy on all tasks seen so far, the band is ± one standard error
    over seeds. The curve starts anew with each task.
    """
    main = groups[0].main
    words = axis(f"{main.words} on tasks seen so far", main.unit)
    found = [mean_curves(group.models, seen) for group in groups]
    return _group_lines(
        groups, found, TIME, words, scale(main.unit), partial(time_axis, records=records_in(groups))
    )


def group_lines(
    groups: Sequence[Group],
    curve: Callable[[Models], TaskCurve | None],
    xlabel: str,
    ylabel: str,
    factor: float,
) -> Figure:
    """A line per group that has one, over whole numbers from 0."""
    found = [[] if (one := curve(group.models)) is None else [one] for group in groups]
    last = max((float(one.time[-1]) for curves in found for one in curves), default=0.0)

    def limits(axes: Axes) -> None:
        axes.set_xlim(0, last or 1)
        whole_numbers(axes.xaxis)

    return _group_lines(groups, found, xlabel, ylabel, factor, limits)


def _group_lines(
    groups: Sequence[Group],
    curves: Sequence[Sequence[TaskCurve]],
    xlabel: str,
    ylabel: str,
    factor: float,
    limits: Callable[[Axes], None],
) -> Figure:
    """The curves of each group, in its colour."""
    figure, axes = new_panel(3.8)
    labels = [
        draw_mean(axes, found, group.marked, colour(index), line(index), factor)
        for index, (group, found) in enumerate(zip(groups, curves, strict=True))
        if found
    ]
    limits(axes)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    end_labels(axes, axes.get_xlim()[1], labels)
    return figure


def speed_curve(
    records: Models, value: Value = current
) -> tuple[NDArray[np.float64], dict[Pair, NDArray[np.float64]]]:
    """Ticks `[n]`, and each agent's accuracy on its current task `[n]`: mean of tasks learned alone.

    `value`: another accuracy of an evaluation, such as `seen`, all tasks so far.

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
    """Accuracy on the task that is being learned, over the ticks spent on it: mean over the tasks learned
    alone, agents and seeds; the band is ± one standard error over seeds. A curve that climbs earlier has the
    larger area below it, which is the learning speed of the current task.
    """
    main = groups[0].main

    def mean(models: Models) -> TaskCurve | None:
        ticks, agents = speed_curve(models)
        return TaskCurve(ticks, *(scale(main.unit) * part for part in band(agents))) if agents else None

    words = axis(f"{main.words} on the current task", main.unit)
    return group_lines(groups, mean, "ticks spent on the task", words, 1.0)


def agent_panels(records: Sequence[AgentRecord]) -> Figure:
    """One line per task, numbered where it begins, dark for early tasks and bright for late ones. A line
    should rise while its own task is learned and then stay level; one that sinks afterwards is being
    forgotten.
    """
    shown = records[:MOST_PANELS]
    columns = min(len(shown), 2 if len(shown) <= 4 else 4)
    rows = -(-len(shown) // columns)
    figure = new_figure(0.4 + rows * (2.4 if columns <= 2 else 1.9))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    inks = sequence(max(record.tasks for record in shown))
    for axes, record in zip(grid.flat, shown, strict=False):
        _agent_panel(axes, record, inks)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    time_axis(grid.flat[0], shown)
    figure.supxlabel(TIME, fontsize=9)
    figure.supylabel(axis(records[0].main.words, records[0].main.unit), fontsize=9)
    return figure


def _agent_panel(axes: Axes, record: AgentRecord, inks: Sequence[Any]) -> None:
    rows, factor = _counted(record), scale(record.main.unit)
    for task in range(record.tasks):
        known = [row for row in rows if row.task >= task]
        line = [factor * row.main[task] for row in known]
        axes.plot([row.time for row in known], line, color=inks[task], linewidth=1.3)
    for task, words in _starts(record).items():
        first = next(row for row in rows if row.task == task)
        place, style = (first.time, factor * first.main[task]), {"fontsize": 7, "fontweight": "bold"}
        note(axes, words, place, (2, -1), va="top", color=inks[task], **style)
    axes.set_title(f"agent {record.agent}")


def _starts(record: AgentRecord) -> dict[int, str]:
    """What is written where the line of a task begins; joint tasks begin together."""
    begun = Course(record.evaluations, record.joint_tasks).by_task
    joint = record.joint_tasks - 1
    return {task: f"0–{task}" if task == joint > 0 else str(task) for task in begun}


def _counted(record: AgentRecord) -> list[Evaluation]:
    """The evaluations from the last joint task on, in order."""
    course = Course(record.evaluations, record.joint_tasks)
    return [row for rows in course.by_task.values() for row in rows]
