"""What the figures of parallel learning share: a line per task over the optimiser steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mpidcl.learning.parallel.course import ParallelCourse
from mpidcl.views.figures.style import FAINT, INK, Label, note, sequence, shade, whole_numbers
from mpidcl.views.parallel.conflict import Binned, Doubles, binned

STEPS = "optimiser step"
GAP = 0.09
"""Between labels, of the height of a panel."""


def task_inks(tasks: int) -> list[Any]:
    """The colours of the slots: the memory's, then those of the tasks, dark for early ones."""
    return [INK, *sequence(tasks)]


def step_axis(axes: Axes, course: ParallelCourse) -> None:
    """All steps of the run; a faint line after each end of a task."""
    axes.set_xlim(0, course.bounds[-1])
    whole_numbers(axes.xaxis)
    axes.grid(axis="x", visible=False)
    for stop in course.bounds[1:-1]:
        axes.axvline(stop, color=FAINT, linewidth=0.6, linestyle=":", zorder=0)


def draw_slots(axes: Axes, values: Doubles, course: ParallelCourse) -> None:
    """`values [steps, S]`: a line for the memory and for each task, numbered where the task begins."""
    inks = task_inks(course.tasks)
    if np.nanmin(values, initial=0) >= 0:
        axes.set_ylim(0, 1.12 * np.nanmax(values, initial=1e-9))
    for slot in range(values.shape[1]):
        found = binned(values[:, slot])
        if not len(found.step):
            continue
        width, line = (1.2, "-") if slot else (1.8, "--")
        axes.plot(*_with_gaps(found), color=inks[slot], linewidth=width, linestyle=line)
        text, place = f"{slot - 1}" if slot else "memory", (found.step[0], found.mean[0])
        style = {"fontsize": 7, "fontweight": "bold", "annotation_clip": False}
        note(axes, text, place, (2, 2), ha="left", color=inks[slot], **style)
    step_axis(axes, course)


def draw_bands(axes: Axes, course: ParallelCourse, *lines: tuple[Doubles, str, str]) -> list[Label]:
    """Of each `(values [steps], words, colour)` the mean as a line, from the least to the largest as a band.

    Gives what is to be written at the ends of the lines.
    """
    step_axis(axes, course)
    labels = []
    for values, words, ink in lines:
        found = binned(values)
        shade(axes, found.step, found.low, found.high, ink)
        axes.plot(found.step, found.mean, color=ink)
        labels += [(float(last), words, ink) for last in found.mean[-1:]]
    return labels


def _with_gaps(found: Binned) -> tuple[Doubles, Doubles]:
    """Broken where pieces are missing, so that no line crosses a time without the task."""
    jumps = np.diff(found.step)
    usual = np.median(jumps) if len(jumps) else 1.0
    places = np.flatnonzero(jumps > 2.5 * usual) + 1
    return np.insert(found.step, places, np.nan), np.insert(found.mean, places, np.nan)
