"""Groups of runs with parallel tasks: accuracy on the tasks tested, over the optimiser steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import colour, end_labels, line, new_figure
from mpidcl.views.groups import Group
from mpidcl.views.mean_error import Pair, band
from mpidcl.views.parallel.figures.over_steps import STEPS
from mpidcl.views.parallel.metrics import course_of
from mpidcl.views.tasks.curves import TaskCurve, draw_mean


def course_curve(models: Mapping[Pair, AgentRecord]) -> TaskCurve:
    """Mean and standard error of the accuracy on the tasks tested; time in optimiser steps."""
    lines = {}
    for pair, record in models.items():
        course = course_of(record)
        if course is None:
            continue
        tested = [row for row in record.evaluations if not np.isnan(row.mean)]
        lines[pair] = ([course.step(row.time) for row in tested], [row.mean for row in tested])
    times = np.array(sorted({step for steps, _ in lines.values() for step in steps}))
    values = {pair: np.interp(times, *one, left=np.nan) for pair, one in lines.items() if one[0]}
    return TaskCurve(times, *band(values))


def group_courses(groups: Sequence[Group]) -> Figure:
    """One line per group, over its models and seeds."""
    figure = new_figure(3.8)
    axes = figure.subplots()
    labels, last = [], 1.0
    for index, group in enumerate(groups):
        curve = course_curve(group.models)
        if not len(curve.time):
            continue
        draw_mean(axes, [curve], colour(index), line(index))
        labels.append((100 * float(curve.mean[-1]), group.marked, colour(index)))
        last = max(last, float(curve.time[-1]))
    axes.set_xlim(0, last)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=STEPS, ylabel="accuracy on the tasks tested [%]")
    end_labels(axes, last, labels)
    return figure
