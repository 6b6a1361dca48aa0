"""The accuracy matrix: how well each task is known after each task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.record.measures import Measure
from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import FAINT, INK, bare, new_figure
from mpidcl.views.tasks.metrics import Course
from mpidcl.views.units import PERCENT, axis

_LUMINANCE = (0.299, 0.587, 0.114)


def mean_matrix(records: Sequence[AgentRecord]) -> tuple[list[int], NDArray[np.float64]]:
    """Tasks t that count, and a[t, E](u) `[rows, tasks]`: mean over the agents that have t, NaN for u > t."""
    courses = [Course.of(record) for record in records]
    tasks = sorted({task for course in courses for task in course.ends})
    matrix = np.full((len(tasks), tasks[-1] + 1), np.nan)
    for row, task in enumerate(tasks):
        ends = [course.ends[task].main for course in courses if task in course.ends]
        matrix[row, : task + 1] = np.mean(ends, axis=0)
    return tasks, matrix


def accuracy_matrix(records: Sequence[AgentRecord]) -> Figure:
    """Mean over agents at the end of each task. Read down a column to see what became of a task, along a row
    to see all that was known at that time. The diagonal is how well a task was learned; the last row averages
    to the final accuracy.
    """
    tasks, matrix = mean_matrix(records)
    rows, columns = matrix.shape
    cell = min(0.62, 7.2 / (columns + 1.5))
    figure = new_figure(max(0.75 * cell, 0.3) * rows + 1.2, cell * (columns + 1.5) + 1.5)
    left, right = figure.subplots(1, 2, width_ratios=[columns, 1], sharey=True)
    main = records[0].main
    ends = _worst_best(matrix, main)
    for axes, values in ((left, matrix), (right, np.nanmean(matrix, axis=1, keepdims=True))):
        _heat(axes, values, ends, cell, main.unit)
    left.set(xlabel=axis(f"{main.words} on task", main.unit), ylabel="after learning task")
    left.set_xticks(range(columns), [str(task) for task in range(columns)])
    left.set_yticks(range(rows), [_row_name(task, records) for task in tasks])
    right.set_xticks([0], ["mean"])
    return figure


def _row_name(task: int, records: Sequence[AgentRecord]) -> str:
    joint = max(record.joint_tasks for record in records)
    return f"0 to {task}, jointly" if joint > 1 and task == joint - 1 else str(task)


def _worst_best(matrix: NDArray[np.float64], main: Measure) -> tuple[float, float]:
    """The ends of the colours: those found, but of fractions the best that there is."""
    low, high = float(np.nanmin(matrix)), float(np.nanmax(matrix))
    if main.better == "lower":
        return (max(high, 0.01), 0.0) if main.unit == PERCENT else (high, low)
    return (min(low, 0.99), 1.0) if main.unit == PERCENT else (low, high)


def _heat(axes: Axes, matrix: NDArray[np.float64], ends: tuple[float, float], cell: float, unit: str) -> None:
    """The better, the darker."""
    worst, best = ends
    light = worst - 0.15 * (best - worst)
    colours, low, high = ("YlGnBu_r", best, light) if best < light else ("YlGnBu", light, best)
    image = axes.imshow(matrix, cmap=colours, vmin=low, vmax=high, aspect="auto")
    bare(axes)
    size = 9 if cell > 0.5 else 6.5
    for (row, column), value in np.ndenumerate(matrix):
        if not np.isnan(value):
            dark = np.dot(image.to_rgba(np.array([value]))[0, :3], _LUMINANCE) < 0.55
            text = f"{value:.3g}" if unit != PERCENT else f"{100 * value:.1f}" if value < 0.9995 else "100"
            ink = "white" if dark else INK
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=size)
    axes.set_xticks(np.arange(-0.5, matrix.shape[1]), minor=True)
    axes.set_yticks(np.arange(-0.5, matrix.shape[0]), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0, color=FAINT)
