"""Accuracy over time: the mean with its standard error, and every task of every agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.views.figures.style import Label, colour, end_labels, line, new_figure, note, sequence, shade
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
    axes: Axes, curves: Sequence[TaskCurve], ink: str, line: str = "-", factor: float = 100.0
) -> None:
    """Mean as line, mean ± standard error as band, a break where the next task begins."""
    for curve in curves:
        low, high = (factor * (curve.mean + side * curve.error) for side in (-1, 1))
        shade(axes, curve.time, low, high, ink)
        axes.plot(curve.time, factor * curve.mean, color=ink, linestyle=line)


def time_axis(axes: Axes, records: Sequence[AgentRecord]) -> None:
    """From the first evaluation that counts to the last, ticks at whole tasks."""
    times = [row.time for record in records for row in _counted(record)]
    axes.set_xlim(min(times), max(max(times), min(times) + 1e-9))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))


def learning_curves(records: Sequence[AgentRecord]) -> Figure:
    """Mean over agents of the accuracy on all seen tasks and on the current one."""
    figure = new_figure(3.4)
    axes = figure.subplots()
    labels: list[Label] = []
    main = records[0].main
    factor = scale(main.unit)
    lines = ((seen, "all tasks\nseen so far", "#0072B2"), (current, "current\ntask", "#D55E00"))
    for value, words, ink in lines:
        curves = mean_curves(of_one_run(records), value)
        draw_mean(axes, curves, ink, factor=factor)
        labels.append((factor * float(curves[-1].mean[-1]), words, ink))
    time_axis(axes, records)
    axes.set(xlabel=TIME, ylabel=axis(main.words, main.unit))
    end_labels(axes, axes.get_xlim()[1], labels, gap=0.16)
    return figure


def group_curves(groups: Sequence[Group]) -> Figure:
    """Accuracy on all tasks seen so far: mean over agents and seeds, and its standard error."""
    figure = new_figure(3.8)
    axes = figure.subplots()
    main = groups[0].main
    labels = draw_groups(
        axes, groups, [mean_curves(group.models, seen) for group in groups], scale(main.unit)
    )
    time_axis(axes, records_in(groups))
    axes.set(xlabel=TIME, ylabel=axis(f"{main.words} on tasks seen so far", main.unit))
    end_labels(axes, axes.get_xlim()[1], labels)
    return figure


def group_lines(
    groups: Sequence[Group],
    curve: Callable[[Models], TaskCurve | None],
    xlabel: str,
    ylabel: str,
    factor: float,
) -> Figure:
    """A line per group that has one, over whole numbers from 0."""
    figure = new_figure(3.8)
    axes = figure.subplots()
    found = [[] if (one := curve(group.models)) is None else [one] for group in groups]
    labels = draw_groups(axes, groups, found, factor)
    last = max((float(one.time[-1]) for curves in found for one in curves), default=0.0)
    axes.set_xlim(0, last or 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    end_labels(axes, last, labels)
    return figure


def draw_groups(
    axes: Axes, groups: Sequence[Group], curves: Sequence[Sequence[TaskCurve]], factor: float
) -> list[Label]:
    """The curves of each group, in its colour; what is written at their ends."""
    labels: list[Label] = []
    for index, (group, found) in enumerate(zip(groups, curves, strict=True)):
        if found:
            draw_mean(axes, found, colour(index), line(index), factor)
            labels.append((factor * float(found[-1].mean[-1]), group.marked, colour(index)))
    return labels


def agent_panels(records: Sequence[AgentRecord]) -> Figure:
    """One panel for each of the first MOST_PANELS agents, one line per task from the moment it was met."""
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
