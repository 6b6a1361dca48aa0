"""What each step did: do the gradients agree, what the combiner made of them, losses, edits."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.learning.parallel.course import ParallelCourse
from mpidcl.learning.parallel.steps import StepLog
from mpidcl.views.figures.style import COLOURS, FAINT, INK, bare, end_labels, new_figure, new_panel
from mpidcl.views.parallel.balance import NEARLY_ALL, largest_share
from mpidcl.views.parallel.conflict import Doubles, binned, descent, mean_cosines, pairs, relative_slack
from mpidcl.views.parallel.figures.over_steps import GAP, STEPS, draw_bands, draw_slots, step_axis

ROUNDING = 1e-6
"""Smaller numbers than this are zero but for the rounding of the gradients."""
_SAID: dict[str, Any] = {"loc": "right", "fontweight": "normal", "fontsize": 8}


def conflict(log: StepLog, course: ParallelCourse) -> Figure:
    """Left, above: mean and smallest cosine over the pairs of gradients of a step; the band holds all steps
    of a piece. Left, below: the share of pairs with a negative cosine. Right: the mean cosine of each two
    over the steps that they shared; blue agrees, red is in conflict, grey never met. Red in the column of the
    memory: learning something new undoes something old.
    """
    figure = new_figure(4.4)
    panels = figure.subplot_mosaic([["cosine", "map"], ["share", "map"]], width_ratios=[1.25, 1])
    found, axes = pairs(log), panels["cosine"]
    lines = (found.mean, "mean", COLOURS[0]), (found.smallest, "smallest", COLOURS[1])
    labels = draw_bands(axes, course, *lines)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(ylabel="cosine of two gradients")
    end_labels(axes, axes.get_xlim()[1], labels, GAP)
    share = binned(100 * found.share)
    panels["share"].fill_between(share.step, 0, share.mean, color=COLOURS[1], alpha=0.6, linewidth=0)
    panels["share"].set(xlabel=STEPS, ylabel="pairs in conflict [%]", ylim=(0, 100))
    step_axis(panels["share"], course)
    _map(panels["map"], mean_cosines(log))
    return figure


def _map(axes: Axes, mean: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
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


def weights(log: StepLog, course: ParallelCourse) -> Figure:
    """Weight that each gradient got in the direction, numbered where its task begins (dashed: the memory).
    Below, the largest share that one gradient took of the weight of its step (the sum of absolute values):
    above the line one task decides alone, and the others learn only as far as they agree with it. Last, where
    the method has them, the elastic factors: how fast each loss was asked to fall. A weight near zero means
    that the others already serve this task.
    """
    share = largest_share(log)
    alone, sigma = not np.isnan(share).all(), not np.isnan(log.sigma).all()
    figure = new_figure(3.2 + 1.8 * alone + 2.0 * sigma)
    heights = [1.6, *[1.0] * alone, *[1.2] * sigma]
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    draw_slots(panels[0], log.weights[: log.count], course)
    panels[0].set_ylabel("weight λ")
    if alone:
        _largest(panels[1], share, course)
    if sigma:
        draw_slots(panels[-1], log.sigma[: log.count], course)
        panels[-1].set_ylabel("elastic factor σ")
    panels[-1].set_xlabel(STEPS)
    return figure


def _largest(axes: Axes, share: Doubles, course: ParallelCourse) -> None:
    draw_bands(axes, course, (100 * share, "", COLOURS[1]))
    axes.axhline(100 * NEARLY_ALL, color=INK, linewidth=0.8)
    axes.set(ylabel="largest share\nof the weight [%]", ylim=(0, 103))
    known = share[~np.isnan(share)]
    above = int((known > NEARLY_ALL).sum())
    words = f"above {100 * NEARLY_ALL:.0f} % in {above} of {len(known)} steps with several gradients"
    axes.set_title(words, **_SAID)


def slack(log: StepLog, course: ParallelCourse) -> Figure:
    """Above: the smallest cosine between the direction and a gradient. Above zero a small step decreases all
    losses; below zero some task pays for the others. Below, for elastic methods: the smallest decrease beyond
    the one that its elastic factor promised, as a share of |d|². Zero: every promise was kept, to first
    order; below zero, as a floor under the weights may cause, one was broken. Both are about a small step
    along the direction itself: an optimiser such as Adam, which scales each parameter by its own past, may
    still let a loss rise.
    """
    panels = [(descent(log), "worst cosine\nto the direction")]
    promised = relative_slack(log)
    if not np.isnan(promised).all():
        panels.append((promised, "slack / |d|²"))
    figure = new_figure(0.6 + 1.9 * len(panels))
    every = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (values, words) in zip(every, panels, strict=True):
        draw_bands(axes, course, (values, "", COLOURS[0]))
        axes.axhline(0, color=INK, linewidth=0.8)
        if np.nanmax(np.abs(values), initial=0) < ROUNDING:
            axes.set_ylim(-1, 1)  # all zero: a finer scale would show nothing but rounding
        axes.set_ylabel(words)
        known = values[~np.isnan(values)]
        axes.set_title(f"below 0 in {int((known < -ROUNDING).sum())} of {len(known)} steps", **_SAID)
    axes.set_xlabel(STEPS)
    return figure


def losses(log: StepLog, course: ParallelCourse) -> Figure:
    """Mean loss of each task's batches while it was learned (dashed: the memory), numbered where a task
    begins. Losses of tasks that overlap should fall together; a memory whose loss rises is being overwritten.
    """
    figure, axes = new_panel(3.4)
    draw_slots(axes, log.loss[: log.count], course)
    axes.set(xlabel=STEPS, ylabel="loss of the batch")
    return figure


def displacement(log: StepLog, course: ParallelCourse) -> Figure:
    """How far one edit moved the rows of its batch (L2 over pixels 0..1): mean and largest, the band holds
    all steps of a piece. Edits should stay small beside the length of a picture, and not grow.
    """
    figure, axes = new_panel(2.8)
    largest, mean = log.moved_max[: log.count], log.moved_mean[: log.count]
    labels = draw_bands(axes, course, (largest, "largest", COLOURS[1]), (mean, "mean", COLOURS[0]))
    axes.set(xlabel=STEPS, ylabel="distance moved (L2, pixels 0..1)")
    axes.set_ylim(bottom=0)
    end_labels(axes, axes.get_xlim()[1], labels, GAP)
    return figure
