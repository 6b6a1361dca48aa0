"""What the combiner made of the gradients: weights and elastic factors, descent, losses, edits."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.learning.parallel.course import ParallelCourse
from mpidcl.learning.parallel.steps import StepLog
from mpidcl.views.figures.style import COLOURS, INK, new_figure, new_panel
from mpidcl.views.parallel.balance import NEARLY_ALL, largest_share
from mpidcl.views.parallel.conflict import Doubles, binned, descent, relative_slack
from mpidcl.views.parallel.figures.over_steps import STEPS, draw_band, draw_slots, label_ends, step_axis

ROUNDING = 1e-6
"""Smaller numbers than this are zero but for the rounding of the gradients."""


def weights(log: StepLog, course: ParallelCourse) -> Figure:
    """Weight of each gradient over time, the largest share, and the elastic factors where there are any."""
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
    """The largest share of the weight, and in how many steps it is nearly all."""
    step_axis(axes, course)
    draw_band(axes, binned(100 * share), COLOURS[1])
    axes.axhline(100 * NEARLY_ALL, color=INK, linewidth=0.8)
    axes.set(ylabel="largest share\nof the weight [%]", ylim=(0, 103))
    known = share[~np.isnan(share)]
    above = int((known > NEARLY_ALL).sum())
    _say(axes, f"above {100 * NEARLY_ALL:.0f} % in {above} of {len(known)} steps with several gradients")


def slack(log: StepLog, course: ParallelCourse) -> Figure:
    """Whether each step was descent for all: the worst cosine to the direction, and the Pareto slack."""
    panels = [(descent(log), "worst cosine\nto the direction")]
    promised = relative_slack(log)
    if not np.isnan(promised).all():
        panels.append((promised, "slack / |d|²"))
    figure = new_figure(0.6 + 1.9 * len(panels))
    every = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (values, words) in zip(every, panels, strict=True):
        step_axis(axes, course)
        draw_band(axes, binned(values), COLOURS[0])
        axes.axhline(0, color=INK, linewidth=0.8)
        if np.nanmax(np.abs(values), initial=0) < ROUNDING:
            axes.set_ylim(-1, 1)  # all zero: a finer scale would show nothing but rounding
        axes.set_ylabel(words)
        known = values[~np.isnan(values)]
        _say(axes, f"below 0 in {int((known < -ROUNDING).sum())} of {len(known)} steps")
    axes.set_xlabel(STEPS)
    return figure


def _say(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="right", fontweight="normal", fontsize=8)


def losses(log: StepLog, course: ParallelCourse) -> Figure:
    """Loss of each task on its batches while it was learned, and of the memory."""
    figure, axes = new_panel(3.4)
    draw_slots(axes, log.loss[: log.count], course)
    axes.set(xlabel=STEPS, ylabel="loss of the batch")
    return figure


def displacement(log: StepLog, course: ParallelCourse) -> Figure:
    """How far the rows of each edited batch were moved."""
    figure, axes = new_panel(2.8)
    step_axis(axes, course)
    lines = [
        (binned(log.moved_max[: log.count]), "largest", COLOURS[1]),
        (binned(log.moved_mean[: log.count]), "mean", COLOURS[0]),
    ]
    for found, _, ink in lines:
        draw_band(axes, found, ink)
    axes.set(xlabel=STEPS, ylabel="distance moved (L2, pixels 0..1)")
    axes.set_ylim(bottom=0)
    label_ends(axes, lines)
    return figure
