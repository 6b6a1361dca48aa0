"""Groups of runs with parallel tasks: accuracy on the tasks tested, over the optimiser steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mpidcl.record.compare import Group
from mpidcl.record.figures.curves import TaskCurve, draw_mean
from mpidcl.record.figures.over_steps import STEPS
from mpidcl.record.figures.style import colour, end_labels, line, new_figure
from mpidcl.record.metrics import mean_error
from mpidcl.record.parallel_metrics import one_per_model
from mpidcl.record.records import AgentRecord


def course_curve(records: Sequence[AgentRecord]) -> TaskCurve:
    """Mean and standard error over models of the accuracy on the tasks tested; time in optimiser steps."""
    lines = []
    for record in records:
        assert record.course is not None
        tested = [row for row in record.evaluations if not np.isnan(row.mean)]
        lines.append(([record.course.step(row.time) for row in tested], [row.mean for row in tested]))
    times = np.array(sorted({step for steps, _ in lines for step in steps}))
    values = [np.interp(times, *one, left=np.nan) for one in lines if one[0]]
    points = [mean_error(column) for column in np.array(values).T]
    mean, error = (np.array([point[part] for point in points]) for part in (0, 1))
    return TaskCurve(times, mean, np.nan_to_num(error))


def group_courses(groups: Sequence[Group]) -> Figure:
    """One line per group, over its models and seeds."""
    figure = new_figure(3.8)
    axes = figure.subplots()
    labels, last = [], 1.0
    for index, group in enumerate(groups):
        models = [
            record for run in group.runs for record in one_per_model(run.records) if record.course is not None
        ]
        curve = course_curve(models)
        if not len(curve.time):
            continue
        draw_mean(axes, [curve], colour(index), line(index))
        labels.append((100 * float(curve.mean[-1]), group.label, colour(index)))
        last = max(last, float(curve.time[-1]))
    axes.set_xlim(0, last)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=STEPS, ylabel="accuracy on the tasks tested [%]")
    end_labels(axes, last, labels)
    return figure
