"""Figures of the reproduction: learning-speed curves, and accuracy against measured bytes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mpidcl.base.quantities import scale_bytes
from mpidcl.reproduce.cost import MODES, Level, levels
from mpidcl.reproduce.found import Found
from mpidcl.reproduce.protocol import ROWS
from mpidcl.views.figures.style import FAINT, colour, end_labels, line, new_figure, png, styled
from mpidcl.views.mean_error import band
from mpidcl.views.tasks.curves import Value, current, seen, speed_curve

CURVES = (
    "modular-isolated",
    "modular-parameters-5",
    "modular-data",
    "modmod-1",
    "modmod-3",
    "all-modes",
    "monolithic-isolated",
)
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
MARKS = "osD^vPX"
_LIKE_CURVES = (3, 1, 2, 5, 6, 4)
"""Colour, dashes and mark of each of MODES: those of its row among CURVES."""


def figures(found: Found) -> dict[str, bytes]:
    """File name (without suffix) -> PNG, for every data set where there is something to draw."""
    drawn: dict[str, bytes] = {}
    with styled():
        for dataset in found.datasets:
            if any(found.has(dataset, row) for row in CURVES):
                drawn[f"learning-speed-{dataset}"] = png(learning_speed(found, dataset))
            if _sending(found, dataset):
                drawn[f"accuracy-bytes-{dataset}"] = png(accuracy_bytes(found, dataset))
    return drawn


def learning_speed(found: Found, dataset: str) -> Figure:
    """Accuracy over the epochs of a task, mean over the tasks learned alone, agents and seeds."""
    figure = new_figure(3.8)
    left, right = figure.subplots(1, 2)
    for axes, value in ((left, current), (right, seen)):
        _curves(axes, found, dataset, value)
        axes.set_xlabel("epochs of the task")
    left.set_ylabel("accuracy [%]")
    left.set_title(f"{dataset}: the task being learned")
    right.set_title("all tasks seen so far")
    return figure


def _curves(axes: Axes, found: Found, dataset: str, value: Value) -> None:
    for place, row in enumerate(CURVES):
        if not found.has(dataset, row):
            continue
        group = found.groups[dataset, row]
        ticks, agents = speed_curve(group.models, value)
        mean, error = (100 * part for part in band(agents))
        axes.fill_between(ticks, mean - error, mean + error, color=colour(place), alpha=0.15, linewidth=0)
        axes.plot(
            ticks, mean, color=colour(place), linestyle=DASHES[place], marker=MARKS[place], markersize=3,
            label=ROWS[row].words + group.mark,
        )  # fmt: skip
    axes.legend(fontsize=7, frameon=False, loc="lower right", handlelength=3.2)


def accuracy_bytes(found: Found, dataset: str) -> Figure:
    """Final accuracy over bytes sent per agent, a line per mode through its budgets; isolated as levels."""
    figure = new_figure(4.0)
    axes = figure.subplots()
    there = _sending(found, dataset)
    unit, name = scale_bytes(max(level.sent for level in there))
    for place, mode in zip(_LIKE_CURVES, MODES, strict=True):
        mine = sorted((level for level in there if level.mode == mode), key=lambda level: level.sent)
        if mine:
            _mode_line(axes, mine, unit, place)
    _log_axis(axes)
    _isolated(axes, found, dataset)
    axes.set(xlabel=f"sent per agent in the whole run, measured [{name}]", ylabel="final accuracy [%]")
    axes.set_title(dataset)
    axes.legend(fontsize=7, frameon=False, loc="best", handlelength=3.2)
    return figure


def _sending(found: Found, dataset: str) -> list[Level]:
    """Levels that have a place on an axis of powers of ten: an agent without neighbours sends nothing."""
    return [level for level in levels(found, dataset) if level.sent]


def _mode_line(axes: Axes, mine: list[Level], unit: float, place: int) -> None:
    axes.errorbar(
        [level.sent / unit for level in mine],
        [level.accuracy.mean for level in mine],
        yerr=np.nan_to_num([level.accuracy.standard_error for level in mine]),
        color=colour(place),
        linestyle=DASHES[place],
        marker=MARKS[place],
        markersize=5,
        capsize=3,
        label=mine[0].mode.name + max(level.accuracy.mark for level in mine),
    )


def _log_axis(axes: Axes) -> None:
    """Bytes span factors of a hundred; ticks at 1, 2, 5, written out."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _isolated(axes: Axes, found: Found, dataset: str) -> None:
    right = axes.get_xlim()[1]
    labels = []
    for row in ("modular-isolated", "monolithic-isolated"):
        mean = found.ours(dataset, row, "final_accuracy")
        if mean is not None:
            axes.axhline(mean.mean, color=FAINT, linewidth=0.9, linestyle=line(2 * 7))
            labels.append((mean.mean, ROWS[row].words, FAINT))
    if labels:
        end_labels(axes, right, labels)
