"""When each parallel task was learned, by which agent, and how well it was known then and at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.learning.parallel.course import ParallelCourse
from mpidcl.record.records import Evaluation
from mpidcl.views.figures.style import COLOURS, FAINT, new_figure, new_panel, note, whole_numbers
from mpidcl.views.groups import Group
from mpidcl.views.parallel.figures.over_steps import STEPS, step_axis, task_inks
from mpidcl.views.parallel.metrics import course_of
from mpidcl.views.tasks.curves import Models, TaskCurve, group_lines, mean_curve


def timeline(course: ParallelCourse) -> Figure:
    """A bar per task from its first to its last step, with the agent that computes its gradients where there
    are several; beside it the accuracy right after its last step → at the end of the run, under the mask of
    the mode. The grey bar is the memory of tasks that have ended. Below: how many gradients each step
    combines. Look for stretches with many gradients: there they may disagree.
    """
    rows = course.tasks + 1
    bars = 0.5 + 0.26 * rows
    figure = new_figure(bars + 1.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[bars, 0.9])
    _bars(above, course)
    gradients = gradients_per_step(course)
    below.step(np.arange(len(gradients) + 1), [*gradients, gradients[-1]], where="post", color=COLOURS[0])
    below.set(xlabel=STEPS, ylabel="gradients")
    below.set_ylim(0, gradients.max() + 0.5)
    whole_numbers(below.yaxis, 4)
    for axes in (above, below):
        step_axis(axes, course)
    return figure


def gradients_per_step(course: ParallelCourse) -> NDArray[np.int64]:
    """How many tasks are active at each step `[steps]`, the memory of ended ones counted as one."""
    steps = np.arange(course.bounds[-1])[:, None]
    active = (course.starts <= steps) & (steps <= course.ends)
    return np.asarray(active.sum(axis=1) + (steps[:, 0] > course.ends.min()))


def _bars(axes: Axes, course: ParallelCourse) -> None:
    inks, total = task_inks(course.tasks), int(course.bounds[-1])
    several = len(set(course.owners.tolist())) > 1
    for task in range(course.tasks):
        first, length = int(course.starts[task]), int(course.ends[task] - course.starts[task] + 1)
        axes.barh(task, length, left=first, color=inks[task + 1], height=0.72)
        if several and length > 0.08 * total:
            words = f"agent {course.owners[task]}"
            axes.text(first + length / 2, task, words, ha="center", va="center", color="white", fontsize=7.5)
        style = {"va": "center", "fontsize": 7.5, "annotation_clip": False}
        note(axes, _known(course, task), (first + length, task), (4, 0), **style)
    begin = int(course.ends.min()) + 1
    axes.barh(course.tasks, total - begin, left=begin, color=FAINT, height=0.4)
    axes.set_yticks(range(course.tasks + 1), [*(f"task {task}" for task in range(course.tasks)), "memory"])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(course.tasks + 0.6, -0.6)


def _known(course: ParallelCourse, task: int) -> str:
    """`71 → 40 %`, or as much of it as is known."""
    found = [100 * known[task, 0] for known in (course.first, course.final) if not np.isnan(known[task, 0])]
    return " → ".join(f"{value:.0f}" for value in found) + (" %" if found else "")


def task_accuracies(course: ParallelCourse, evaluations: Sequence[Evaluation]) -> Figure:
    """Accuracy on each task under the mask of the mode, tested whenever a task ends (dotted lines). The ring
    is the end of the task itself: what falls to its right is forgotten. Where the model must tell apart the
    classes of all tasks that have started, a part of each fall is only that there are more classes to
    confuse.
    """
    figure, axes = new_panel(3.6)
    inks = task_inks(course.tasks)[1:]
    for task in range(course.tasks):
        tested = [row for row in evaluations if task < len(row.main) and not np.isnan(row.main[task])]
        steps = [course.step(row.time) for row in tested]
        values = [100 * row.main[task] for row in tested]
        axes.plot(steps, values, color=inks[task], marker="o", markersize=2.5, linewidth=1.3, clip_on=False)
        end = (int(course.ends[task]) + 1, 100 * course.first[task, 0])
        axes.plot(*end, "o", color=inks[task], fillstyle="none", markersize=8, clip_on=False)
        note(axes, str(task), end, (0, 7), ha="center", color=inks[task], fontsize=8, fontweight="bold")
    step_axis(axes, course)
    axes.set(xlabel=STEPS, ylabel="accuracy on the task [%]")
    axes.set_ylim(0, 108)
    return figure


def course_curve(models: Models) -> TaskCurve | None:
    """Mean and standard error of the accuracy on the tasks tested; time in optimiser steps; None without."""
    lines = {}
    for pair, record in models.items():
        course, tested = course_of(record), [row for row in record.evaluations if not np.isnan(row.mean)]
        if course and tested:
            lines[pair] = ([course.step(row.time) for row in tested], [row.mean for row in tested])
    return mean_curve(lines, left=np.nan) if lines else None


def group_courses(groups: Sequence[Group]) -> Figure:
    """Mean accuracy on the tasks that were tested when a task ended, under the mask of the mode; the band is
    ± one standard error over seeds. Tasks that begin pull the mean down, as does what is forgotten.
    """
    found, words = [course_curve(group.models) for group in groups], "accuracy on the tasks tested [%]"
    return group_lines(groups, [[one] if one else [] for one in found], STEPS, words, 100.0)
