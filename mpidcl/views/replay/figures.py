"""Figures of replay: time of a step, rows by task, classes held."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.learning.replay_log import FILL
from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import COLOURS, INK, bare, new_figure, new_panel
from mpidcl.views.replay.times import TIMES, replayed, tasks_replayed

_MANY = 20
"""Rows or columns from which cells have no numbers."""


def step_times(records: Sequence[AgentRecord]) -> Figure:
    """Mean over the steps of each agent. Draws and copies, and waiting for rows, are what replay costs.
    Waiting for the slowest agent is not: agents that train one model would wait for its gradient, too. Where
    several agents share a process, the turns of the others are part of the waits.
    """
    found = [replayed(record) for record in records]
    inks = (*(COLOURS[place] for place in (5, 1, 6, 3, 0, 2, 4)),)
    figure, axes = new_panel(1.1 + (0.3 if len(records) <= 12 else 0.16) * len(records))
    places, start = np.arange(len(records)), np.zeros(len(records))
    for (part, label), ink in zip(TIMES.items(), inks, strict=True):
        length = np.array([1e3 * one.seconds[part] / max(one.steps, 1) for one in found])
        axes.barh(places, length, left=start, color=ink, height=0.72, label=label)
        start += length
    axes.set_yticks(places, [f"agent {record.agent}" for record in records])
    axes.tick_params(axis="y", labelsize=8 if len(records) <= 12 else 6, length=0)
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    axes.set_xlabel("time of a step [ms]")
    style = {"ncols": 4, "frameon": False, "handlelength": 1, "borderpad": 0}
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), **style)
    return figure


def replayed_tasks(records: Sequence[AgentRecord]) -> Figure:
    """Of the rows that all agents drew while they learned the task of a row, the share in % that was of the
    task of a column. Left of the diagonal are rows of older tasks. Uniform draws follow what is held.
    """
    tasks, shares = tasks_replayed(records)
    figure = new_figure(0.32 * len(tasks) + 1.1, min(9.0, 0.62 * shares.shape[1] + 2))
    axes = figure.subplots()
    _map(axes, 100 * shares)
    axes.set(xlabel="replayed rows of task [%]", ylabel="while learning task")
    axes.set_xticks(range(shares.shape[1]))
    axes.set_yticks(range(len(tasks)), [str(task) for task in tasks])
    return figure


def held_classes(records: Sequence[AgentRecord]) -> Figure:
    """Rows of each class in the memory of each agent, at the end of its last task. A class is a label, with
    its head where there are several.
    """
    names, rows = held(records)
    figure = new_figure(0.24 * len(records) + 1.1, min(9.0, 0.45 * len(names) + 2))
    axes = figure.subplots()
    _map(axes, rows)
    axes.set(xlabel="rows of class")
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > _MANY else 0)
    axes.set_yticks(range(len(records)), [f"agent {record.agent}" for record in records])
    return figure


def held(records: Sequence[AgentRecord]) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the classes [k], and the rows [agents, k] of each in the memory of each agent at the end."""
    last: list[dict[tuple[int, int], int]] = []
    for record in records:
        table = record.tables.get(FILL, {"task": np.empty(0, np.int64)})
        mine = table["task"] == np.max(table["task"], initial=-1)
        keys = zip(*(table[name][mine].tolist() for name in ("head", "label") if name in table), strict=True)
        last.append(dict(zip(keys, table["rows"][mine].tolist() if "rows" in table else [], strict=True)))
    every = sorted({key for one in last for key in one})
    rows = np.array([[one.get(key, 0) for key in every] for one in last], np.float64)
    several = len({head for head, _ in every}) > 1
    return [f"{head}.{label}" if several else _label(label) for head, label in every], rows


def _label(label: int) -> str:
    return "all" if label < 0 else str(label)


def _map(axes: Axes, values: NDArray[np.float64]) -> None:
    """The more, the darker."""
    most = float(np.nanmax(values, initial=1.0))
    axes.imshow(values, cmap="YlGnBu", vmin=0, vmax=most, aspect="auto")
    bare(axes)
    if max(values.shape) > _MANY:
        return
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            ink = "white" if value > 0.6 * most else INK
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=8)
