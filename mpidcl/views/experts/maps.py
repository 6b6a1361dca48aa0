"""Maps of experts: which classes each answers, and its load and specialisation over its life."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.learning.experts.log import CAME, FROZEN, WENT
from mpidcl.record.records import AgentRecord
from mpidcl.views.experts.numbers import Lives, changes, chosen, class_shares, lives
from mpidcl.views.figures.style import COLOURS, FAINT, INK, bare, new_figure

MOST_AGENTS = 4
MOST_TASKS = 4
_MOST_TICKS = 16
_EMPTY = "#EFEFEF"
MARKS = {CAME: ("^", COLOURS[2], "came"), FROZEN: ("s", COLOURS[1], "frozen"), WENT: ("X", INK, "went")}
"""Symbol, colour and words of each change."""


def class_maps(records: Sequence[AgentRecord]) -> Figure:
    """A row of maps per agent (the first four), a map per task (four at most, the last one right): when it
    had been learned, which part of the gates of a class (a line) each expert (a column) had, on validation
    rows. Lines add up to one. Lines that differ mean experts that tell classes apart; equal lines mean
    experts that do not. Grey: experts that were not in use.
    """
    shown = [record for record in records if class_shares(record)][:MOST_AGENTS]
    tables = [class_shares(record) for record in shown]
    columns = chosen(max(map(len, tables)), MOST_TASKS)
    most = max(len(labels) for table in tables for labels, _ in table.values())
    high = min(2.4, max(0.9, 0.14 * most))
    figure = new_figure(0.8 + (high + 0.45) * len(shown))
    grid = figure.subplots(len(shown), len(columns), squeeze=False)
    colours = ScalarMappable(Normalize(0, 1), "Blues")
    for line, record, table in zip(grid, shown, tables, strict=True):
        tasks = [*table]
        for axes, place in zip(line, columns, strict=True):
            if place < len(tasks):
                _class_map(axes, *table[tasks[place]], _unused(record, tasks[place]), colours)
                axes.set_title(f"agent {record.agent}, after task {tasks[place]}", fontsize=8)
            else:
                axes.set_axis_off()
        line[0].set_ylabel("class")
    for axes in grid[-1]:
        axes.set_xlabel("expert")
    bar = figure.colorbar(colours, ax=list(grid.flat), fraction=0.02, pad=0.01, aspect=30)
    bar.set_label("part of the class's gates")
    bar.outline.set_visible(False)
    return figure


def _unused(record: AgentRecord, task: int) -> list[int]:
    found = lives(record)
    if found is None or task not in found.tasks:
        return []
    return [int(one) for one in np.flatnonzero(~found.used[found.tasks.index(task)])]


def _class_map(
    axes: Axes, labels: list[int], shares: NDArray[np.float64], unused: list[int], colours: ScalarMappable
) -> None:
    low, high = colours.get_clim()
    axes.imshow(shares, cmap=colours.cmap, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    bare(axes)
    for expert in unused:
        axes.axvspan(expert - 0.5, expert + 0.5, color=_EMPTY, linewidth=0)
    _ticks(axes, shares.shape[1], labels)


def _ticks(axes: Axes, columns: int, lines: Sequence[int]) -> None:
    """Numbers of some columns and of some lines, with white lines between the cells where they are large."""
    across, down = chosen(columns, _MOST_TICKS), chosen(len(lines), _MOST_TICKS)
    axes.set_xticks(across, [str(one) for one in across])
    axes.set_yticks(down, [str(lines[one]) for one in down])
    axes.tick_params(labelsize=7, length=0)
    if columns <= _MOST_TICKS:
        for edge in range(1, columns):
            axes.axvline(edge - 0.5, color="white", linewidth=1)
    if len(lines) <= 2 * _MOST_TICKS:
        for edge in range(1, len(lines)):
            axes.axhline(edge - 0.5, color="white", linewidth=1)


def expert_lives(records: Sequence[AgentRecord]) -> Figure:
    """Two maps per agent (the first four), a line per expert and a column per task. Left: its load when the
    task had been learned, its part of the gates of validation rows. Right: its specialisation, 1 where it
    answers one class and 0 where it answers all alike; empty where it got no weight. One with hardly any load
    easily looks specialised: few rows came. Grey: not in use. A triangle: it came into use with this task; a
    square: it was frozen when the task ended, and learned no more; a cross: it went then.
    """
    made = [(record, found) for record in records if (found := lives(record)) is not None][:MOST_AGENTS]
    experts = max(found.load.shape[1] for _, found in made)
    high = min(3.2, max(1.0, 0.2 * experts))
    figure = new_figure(0.9 + (high + 0.45) * len(made))
    grid = figure.subplots(len(made), 2, squeeze=False)
    load = ScalarMappable(Normalize(0, max(float(np.nanmax(found.load)) for _, found in made)), "Blues")
    special = ScalarMappable(Normalize(0, 1), "Oranges")
    for line, (record, found) in zip(grid, made, strict=True):
        for axes, values, colours in ((line[0], found.load, load), (line[1], found.specialisation, special)):
            _life(axes, found, values, colours)
            _marks(axes, record, found)
        line[0].set_title(f"agent {record.agent}: load", fontsize=8)
        line[1].set_title(f"agent {record.agent}: specialisation", fontsize=8)
        line[0].set_ylabel("expert")
    for place, (colours, words) in enumerate(((load, "load"), (special, "specialisation"))):
        grid[-1][place].set_xlabel("task")
        bar = figure.colorbar(colours, ax=list(grid[:, place]), fraction=0.03, pad=0.01, aspect=30)
        bar.set_label(words)
        bar.outline.set_visible(False)
    _legend(figure, [record for record, _ in made])
    return figure


def _life(axes: Axes, found: Lives, values: NDArray[np.float64], colours: ScalarMappable) -> None:
    low, high = colours.get_clim()
    axes.imshow(values.T, cmap=colours.cmap, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    bare(axes)
    for place, expert in np.argwhere(~found.used):
        axes.axvspan(
            place - 0.5, place + 0.5,
            1 - (expert + 1) / values.shape[1], 1 - expert / values.shape[1], color=_EMPTY, linewidth=0,
        )  # fmt: skip
    _ticks(axes, len(found.tasks), range(values.shape[1]))
    across = chosen(len(found.tasks), _MOST_TICKS)
    axes.set_xticks(across, [str(found.tasks[one]) for one in across])


def _marks(axes: Axes, record: AgentRecord, found: Lives) -> None:
    """Of one expert and task side by side: it may be frozen and go at one time."""
    shift = {CAME: -0.25, FROZEN: 0.1, WENT: 0.3}
    size = 26 if max(found.load.shape) <= 2 * _MOST_TICKS else 9
    for one in changes(record):
        if one.task in found.tasks:
            mark, ink, _ = MARKS[one.change]
            x = found.tasks.index(one.task) + shift[one.change]
            axes.scatter([x], [one.expert], marker=mark, s=size, color=ink, edgecolor="white", linewidth=0.6)


def _legend(figure: Figure, records: Sequence[AgentRecord]) -> None:
    there = sorted({one.change for record in records for one in changes(record)})
    if not there:
        return
    axes = figure.axes[0]
    handles = [
        axes.scatter([], [], marker=mark, s=30, color=ink, label=words)
        for mark, ink, words in (MARKS[one] for one in there)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, labelcolor=INK, edgecolor=FAINT
    )
