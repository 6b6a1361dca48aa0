"""Accuracy over time and over ticks: the mean with its standard error, and every task of every agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.network.schedule.words import TASKS, TimeWords
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.views.figures.style import (
    COLOURS,
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

Models = Mapping[Pair, AgentRecord]
"""By (seed, agent)."""
Line = tuple[Sequence[float], Sequence[float]]
"""Times and values."""
Value = Callable[[Evaluation], float]
seen: Value = attrgetter("mean")
"""Mean accuracy on the tasks seen so far."""
current: Value = attrgetter("current")
"""The main measure on the task that is being learned."""
MOST_PANELS = 24


@dataclass(frozen=True)
class TaskCurve:
    """Mean and standard error while one task is learned; `[n]` each, in schedule time."""

    time: NDArray[np.float64]
    mean: NDArray[np.float64]
    error: NDArray[np.float64]


def of_one_run(records: Sequence[AgentRecord]) -> dict[Pair, AgentRecord]:
    """By (seed, agent), where all have one seed."""
    return {(0, record.agent): record for record in records}


def mean_curves(records: Models, value: Value) -> list[TaskCurve]:
    """One curve per task, over the agents that have it; agents evaluated at other times are interpolated."""
    lines: dict[int, dict[Pair, Line]] = {}
    for pair, record in records.items():
        for task, rows in Course.of(record).by_task.items():
            line = [row.time for row in rows], [value(row) for row in rows]
            lines.setdefault(task, {})[pair] = line
    return [mean_curve(lines[task]) for task in sorted(lines)]


def mean_curve(lines: Mapping[Pair, Line], left: float | None = None) -> TaskCurve:
    """Of lines by (seed, agent); before its first time a line is `left`, or what it is there."""
    time = np.array(sorted({time for times, _ in lines.values() for time in times}))
    return TaskCurve(time, *band({pair: np.interp(time, *line, left=left) for pair, line in lines.items()}))


def _draw_means(
    axes: Axes, lines: Sequence[tuple[Sequence[TaskCurve], str, str, str]], factor: float, gap: float = 0.055
) -> None:
    """Of (curves, words, colour, style) means as lines, ± standard error as bands, broken between tasks."""
    labels = []
    for curves, words, ink, style in lines:
        for one in curves:
            low, high = (factor * (one.mean + side * one.error) for side in (-1, 1))
            shade(axes, one.time, low, high, ink)
            axes.plot(one.time, factor * one.mean, color=ink, linestyle=style)
        labels += [(factor * float(one.mean[-1]), words, ink) for one in curves[-1:]]
    end_labels(axes, axes.get_xlim()[1], labels, gap)


def time_axis(axes: Axes, records: Sequence[AgentRecord], words: TimeWords) -> None:
    """From the first evaluation that counts to the last, ticks at whole tasks if time is counted in them."""
    times = [row.time for record in records for row in Course.of(record).rows]
    axes.set_xlim(min(times), max(max(times), min(times) + 1e-9))
    if words.together:
        whole_numbers(axes.xaxis, 12)


def learning_curves(records: Sequence[AgentRecord], words: TimeWords = TASKS) -> Figure:
    """Mean over agents, the band is ± one standard error over the agents of this run, which share its seed.
    Each time a task begins, the curve starts anew: the new task joins the mean before anything was learned of
    it. A blue line that ends lower from task to task is forgetting.
    """
    main, models = records[0].main, of_one_run(records)
    lines = [
        (mean_curves(models, seen), "all tasks\nseen so far", COLOURS[0], "-"),
        (mean_curves(models, current), "current\ntask", COLOURS[1], "-"),
    ]
    figure, axes = new_panel(3.4)
    time_axis(axes, records, words)
    axes.set(xlabel=words.axis, ylabel=axis(main.words, main.unit))
    _draw_means(axes, lines, scale(main.unit), gap=0.16)
    return figure


def in_tasks(record: AgentRecord) -> AgentRecord:
    """With times in tasks learned, whatever its clock: to be compared with runs under another one."""
    ticks: dict[int, int] = {}
    for row in record.evaluations:
        ticks[row.task] = max(row.tick, ticks.get(row.task, 1))
    found = [replace(row, time=row.task + row.tick / ticks[row.task]) for row in record.evaluations]
    return replace(record, evaluations=found)


def group_curves(groups: Sequence[Group]) -> Figure:
    """Mean over agents and seeds of the accuracy on all tasks seen so far, the band is ± one standard error
    over seeds. The curve starts anew with each task.
    """
    main, times = groups[0].main, {group.runs[0].time for group in groups}
    time = TASKS if len(times) > 1 else times.pop()
    models = [
        group.models
        if group.runs[0].time.together
        else {pair: in_tasks(record) for pair, record in group.models.items()}
        for group in groups
    ]
    words = axis(f"{main.words} on tasks seen so far", main.unit)
    found = [mean_curves(known, seen) for known in models]
    limits = partial(time_axis, records=[one for known in models for one in known.values()], words=time)
    return group_lines(groups, found, time.axis, words, scale(main.unit), limits)


def group_lines(
    groups: Sequence[Group],
    found: Sequence[Sequence[TaskCurve]],
    xlabel: str,
    ylabel: str,
    factor: float,
    limits: Callable[[Axes], None] | None = None,
) -> Figure:
    """The curves of each group, in its colour; without `limits` over whole numbers from 0."""
    figure, axes = new_panel(3.8)
    if limits is None:
        axes.set_xlim(0, max((one.time[-1] for curves in found for one in curves), default=0) or 1)
        whole_numbers(axes.xaxis)
    else:
        limits(axes)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    names = [(group.marked, colour(index), line(index)) for index, group in enumerate(groups)]
    _draw_means(axes, [(curves, *one) for curves, one in zip(found, names, strict=True)], factor)
    return figure


def speed_curve(
    records: Models, value: Value = current
) -> tuple[NDArray[np.float64], dict[Pair, NDArray[np.float64]]]:
    """Ticks `[n]`, and each agent's accuracy on its current task `[n]`: mean of tasks learned alone.

    `value`: another accuracy of an evaluation, such as `seen`, all tasks so far.
    A task with fewer ticks than another keeps its last accuracy; between evaluations it is interpolated.
    Agents that learned no task alone are left out.
    """
    lives = {pair: Course.of(record).alone() for pair, record in records.items()}
    ticks = np.unique([float(row.tick) for life in lives.values() for rows in life for row in rows])
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
    words = axis(f"{main.words} on the current task", main.unit)
    speeds = [speed_curve(group.models) for group in groups]
    found = [[TaskCurve(ticks, *band(agents))] if agents else [] for ticks, agents in speeds]
    return group_lines(groups, found, "ticks spent on the task", words, scale(main.unit))


def agent_panels(records: Sequence[AgentRecord], words: TimeWords = TASKS) -> Figure:
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
    time_axis(grid.flat[0], shown, words)
    figure.supxlabel(words.axis, fontsize=9)
    figure.supylabel(axis(records[0].main.words, records[0].main.unit), fontsize=9)
    return figure


def _agent_panel(axes: Axes, record: AgentRecord, inks: Sequence[Any]) -> None:
    course, factor = Course.of(record), scale(record.main.unit)
    for task in range(record.tasks):
        known = [row for row in course.rows if row.task >= task]
        line = [factor * row.main[task] for row in known]
        axes.plot([row.time for row in known], line, color=inks[task], linewidth=1.3)
    for task, (first, *_) in course.by_task.items():
        words = f"0–{task}" if task == record.joint_tasks - 1 > 0 else str(task)  # joint ones begin together
        place, style = (first.time, factor * first.main[task]), {"fontsize": 7, "fontweight": "bold"}
        note(axes, words, place, (2, -1), va="top", color=inks[task], **style)
    axes.set_title(f"agent {record.agent}")
