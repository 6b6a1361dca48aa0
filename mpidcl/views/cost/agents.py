"""What the accuracy cost: against bytes on the wire, and against the floats that the publication charges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.base.quantities import scale_bytes, scale_count
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.views.figures.style import COLOURS, FAINT, new_figure
from mpidcl.views.tasks.metrics import Course
from mpidcl.views.units import axis, scale


def accuracy_against_cost(records: Sequence[AgentRecord]) -> Figure:
    """Accuracy on the tasks seen, at the end of each task, over what the agent had sent by then."""
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, records, "wire_bytes")
    _panel(right, records, "paper_floats")
    main = records[0].main
    left.set_ylabel(axis(f"{main.words} on tasks seen so far", main.unit))
    return figure


def cost_unit(quantity: str, largest: float) -> tuple[float, str]:
    """Size of the unit and the label of the axis for bytes or `paper_floats` sent per agent."""
    if quantity != "paper_floats":
        unit, name = scale_bytes(largest)
        return unit, f"sent per agent, on the wire [{name}]"
    unit, name = scale_count(largest)
    return unit, f"sent per agent, as the paper counts [{name.strip()}{' ' if name else ''}floats]"


def _panel(axes: Axes, records: Sequence[AgentRecord], quantity: str) -> None:
    ends = [list(Course(record.evaluations, record.joint_tasks).ends.values()) for record in records]
    largest = max(getattr(row, quantity) for rows in ends for row in rows)
    (unit, label), factor = cost_unit(quantity, largest), scale(records[0].main.unit)
    for rows in ends:
        _line(axes, rows, quantity, unit, factor)
    _mean_line(axes, ends, quantity, unit, factor)
    axes.set_xlabel(label)
    axes.set_xlim(left=0)
    if not largest:
        axes.set_xlim(0, 1)


def _line(axes: Axes, rows: Sequence[Evaluation], quantity: str, unit: float, factor: float) -> None:
    cost = [getattr(row, quantity) / unit for row in rows]
    axes.plot(cost, [factor * row.mean for row in rows], color=FAINT, linewidth=0.8, alpha=0.7)


def _mean_line(
    axes: Axes, ends: Sequence[Sequence[Evaluation]], quantity: str, unit: float, factor: float
) -> None:
    """Over the agents that learned the task; the number beside each point is the task."""
    tasks = sorted({row.task for rows in ends for row in rows})
    points = []
    for task in tasks:
        found = [row for rows in ends for row in rows if row.task == task]
        cost = float(np.mean([getattr(row, quantity) for row in found])) / unit
        points.append((cost, factor * float(np.mean([row.mean for row in found]))))
    axes.plot(*zip(*points, strict=True), color=COLOURS[0], marker="o", markersize=4)
    for task, point in zip(tasks, points, strict=True):
        axes.annotate(
            str(task), point, xytext=(0, 5), textcoords="offset points", ha="center", color=COLOURS[0]
        )
