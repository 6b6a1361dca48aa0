"""Do the gradients agree? Cosines over time and by pair of tasks."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.learning.parallel.course import ParallelCourse
from mpidcl.learning.parallel.steps import StepLog
from mpidcl.views.figures.style import COLOURS, FAINT, INK, WIDTH, bare, new_figure
from mpidcl.views.parallel.conflict import Pairs, binned, mean_cosines, pairs
from mpidcl.views.parallel.figures.over_steps import STEPS, draw_band, label_ends, step_axis


def conflict(log: StepLog, course: ParallelCourse) -> Figure:
    """Left, above: mean and smallest cosine over the pairs of gradients of a step; the band holds all steps
    of a piece. Left, below: the share of pairs with a negative cosine. Right: the mean cosine of each two
    over the steps that they shared; blue agrees, red is in conflict, grey never met. Red in the column of the
    memory: learning something new undoes something old.
    """
    figure = new_figure(4.4, WIDTH)
    panels = figure.subplot_mosaic([["cosine", "map"], ["share", "map"]], width_ratios=[1.25, 1])
    found = pairs(log)
    _cosines(panels["cosine"], found, course)
    share = binned(100 * found.share)
    panels["share"].fill_between(share.step, 0, share.mean, color=COLOURS[1], alpha=0.6, linewidth=0)
    panels["share"].set(xlabel=STEPS, ylabel="pairs in conflict [%]", ylim=(0, 100))
    step_axis(panels["share"], course)
    _map(panels["map"], mean_cosines(log))
    return figure


def _cosines(axes: Axes, found: Pairs, course: ParallelCourse) -> None:
    step_axis(axes, course)
    lines = [(binned(found.mean), "mean", COLOURS[0]), (binned(found.smallest), "smallest", COLOURS[1])]
    for one, _, ink in lines:
        draw_band(axes, one, ink)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(ylabel="cosine of two gradients")
    label_ends(axes, lines)


def _map(axes: Axes, mean: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    """Blue: the two gradients agree; red: they are in conflict; grey: they never met."""
    colours = matplotlib.colormaps["RdBu"].with_extremes(bad="#EEEEEE")
    count = len(mean)
    lower = np.where(np.tri(count, k=-1, dtype=bool), mean, np.nan)[1:, :-1]
    image = axes.imshow(np.ma.masked_invalid(lower), cmap=colours, vmin=-1, vmax=1)
    bare(axes)
    names = ["M", *(str(task) for task in range(count - 1))]
    axes.set_xticks(range(count - 1), names[:-1])
    axes.set_yticks(range(count - 1), names[1:])
    axes.set(xlabel="task (M: memory)", ylabel="task", title="mean cosine")
    if count <= 12:
        for (row, column), value in np.ndenumerate(lower):
            if not np.isnan(value):
                ink = "white" if abs(value) > 0.6 else INK
                axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=6, color=ink)
    for row in range(count - 1):  # the upper half says nothing new
        axes.fill_between([row + 0.5, count - 1.5], row - 0.5, row + 0.5, color="white", linewidth=0)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.6, aspect=22, location="top")
    bar.outline.set_edgecolor(FAINT)
