"""Groups of runs with parallel tasks: accuracy on the tasks tested, over the optimiser steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mpidcl.views.groups import Group
from mpidcl.views.mean_error import band
from mpidcl.views.parallel.figures.over_steps import STEPS
from mpidcl.views.parallel.metrics import course_of
from mpidcl.views.tasks.curves import Models, TaskCurve, group_lines


def course_curve(models: Models) -> TaskCurve | None:
    """Mean and standard error of the accuracy on the tasks tested; time in optimiser steps; None without."""
    lines = {}
    for pair, record in models.items():
        course = course_of(record)
        if course is None:
            continue
        tested = [row for row in record.evaluations if not np.isnan(row.mean)]
        lines[pair] = ([course.step(row.time) for row in tested], [row.mean for row in tested])
    times = np.array(sorted({step for steps, _ in lines.values() for step in steps}))
    values = {pair: np.interp(times, *one, left=np.nan) for pair, one in lines.items() if one[0]}
    return TaskCurve(times, *band(values)) if len(times) else None if len(times) else None


def group_courses(groups: Sequence[Group]) -> Figure:
    """One line per group, over its models and seeds."""
    return group_lines(groups, course_curve, STEPS, "accuracy on the tasks tested [%]", 100.0)
