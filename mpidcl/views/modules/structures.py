"""Structures: how much of each module every layer of every task uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import INK, WIDTH, bare, new_figure
from mpidcl.views.modules.counts import kept, shares

MOST_AGENTS = 8
MOST_TASKS = 12
_APART = 0.01


def chosen_tasks(tasks: int) -> list[int]:
    """All tasks, or MOST_TASKS of them: evenly spread, the first and the last among them."""
    return sorted({int(task) for task in np.linspace(0, tasks - 1, min(tasks, MOST_TASKS)).round()})


def structures(records: Sequence[AgentRecord]) -> Figure:
    """One map per agent (the first eight), a row per module, and for each task a column per layer, first
    layer left. Black: the layer consists of this module alone; white: the layer makes no use of it, or the
    module came later than the task. Each column adds up to one; a dot marks the largest share of a layer that
    mixes several. “5 ← 2” is module 5, which came from agent 2.
    """
    shown = [record for record in records if shares(record).size][:MOST_AGENTS]
    tasks = chosen_tasks(max(len(shares(record)) for record in shown))
    modules = [shares(record).shape[1] for record in shown]
    columns = len(tasks) * (shares(shown[0]).shape[2] + 1)
    cell = min(0.17, (WIDTH - 1.1) / columns)
    height = 0.75 + sum(0.36 + 0.17 * count for count in modules)
    figure = new_figure(height, 1.1 + cell * columns)
    grid = figure.subplots(len(shown), 1, height_ratios=modules, squeeze=False)[:, 0]
    for axes, record in zip(grid, shown, strict=True):
        image = _map(axes, record, tasks)
    grid[0].xaxis.set_label_position("top")
    grid[0].set_xlabel("layers of task")
    thin = {"aspect": 40, "shrink": 0.45, "fraction": 0.3 / height, "pad": 0.1 / height}
    bar = figure.colorbar(image, ax=list(grid), location="bottom", **thin)
    bar.set_label("share of the module in the layer")
    bar.outline.set_visible(False)
    return figure


def _map(axes: Axes, record: AgentRecord, tasks: Sequence[int]) -> AxesImage:
    here = [task for task in tasks if task < len(shares(record))]
    modules, depth = shares(record).shape[1:]
    # A column without values after every task keeps the tasks apart.
    apart = [np.pad(shares(record)[task], ((0, 0), (0, 1)), constant_values=np.nan) for task in here]
    strip = np.hstack(apart)[:, :-1]
    image = axes.imshow(strip, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    centres = [place * (depth + 1) + (depth - 1) / 2 for place in range(len(here))]
    axes.set_xticks(centres, [str(task) for task in here])
    # The number of each module, and of the agent that it came from.
    sources = {decision.module: decision.source for decision in kept(record) if decision.received}
    names = [f"{one} ← {sources[one]}" if one in sources else str(one) for one in range(modules)]
    axes.set_yticks(range(modules), names)
    axes.tick_params(length=0, labelsize=7, top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.set_ylabel(f"agent {record.agent}", fontweight="bold")
    _mark_largest(axes, strip)
    _lines(axes, len(here), modules, depth)
    return image


def _mark_largest(axes: Axes, strip: NDArray[np.float64]) -> None:
    """A dot on the largest share of a layer: shares that differ by a few hundredths look alike in grey."""
    for column, found in enumerate(strip.T):
        used = found[found > 0]
        if len(used) > 1 and used.max() - used.min() > _APART:
            ink = "white" if used.max() > 0.5 else INK
            axes.plot(column, int(np.argmax(found)), ".", color=ink, markersize=3)


def _lines(axes: Axes, tasks: int, modules: int, depth: int) -> None:
    """A frame around the layers of each task."""
    bare(axes)
    for place in range(tasks):
        left = place * (depth + 1) - 0.5
        xs = [left, left, left + depth, left + depth, left]
        ys = [-0.5, modules - 0.5, modules - 0.5, -0.5, -0.5]
        axes.plot(xs, ys, color=INK, linewidth=0.5, clip_on=False)
