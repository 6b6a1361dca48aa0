"""What the accuracy cost: against bytes on the wire, and against the floats that the publication charges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpidcl.base.quantities import scale_bytes, scale_count
from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import COLOURS, FAINT, INK, colour, new_figure, note
from mpidcl.views.groups import Group
from mpidcl.views.tasks.metrics import Course
from mpidcl.views.units import axis, scale

_NUMBER: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5, "fontweight": "bold"}
_DECADES = 1.3
"""From this ratio of the largest to the smallest cost on (as power of ten) the axis is logarithmic."""


def accuracy_against_cost(records: Sequence[AgentRecord]) -> Figure:
    """One point at the end of each task, numbered by task: the blue line is the mean over agents, the grey
    lines are the agents. Left: payload and headers as measured on the wire. Right: the floats that the
    publication charges.
    """
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
    ends = [Course.of(record).ends for record in records]
    largest = max(getattr(row, quantity) for rows in ends for row in rows.values())
    (unit, label), factor = cost_unit(quantity, largest), scale(records[0].main.unit)
    for rows in ends:
        cost = [getattr(row, quantity) / unit for row in rows.values()]
        axes.plot(cost, [factor * row.mean for row in rows.values()], color=FAINT, linewidth=0.8, alpha=0.7)
    points = {}
    for task in sorted({task for rows in ends for task in rows}):
        found = [rows[task] for rows in ends if task in rows]
        mean_cost = float(np.mean([getattr(row, quantity) for row in found])) / unit
        points[task] = mean_cost, factor * float(np.mean([row.mean for row in found]))
    axes.plot(*zip(*points.values(), strict=True), color=COLOURS[0], marker="o", markersize=4)
    for task, point in points.items():
        note(axes, str(task), point, (0, 5), ha="center", color=COLOURS[0])
    axes.set_xlabel(label)
    axes.set_xlim(0, None if largest else 1)


def group_costs(groups: Sequence[Group]) -> Figure:
    """What an agent knew at the end over what it sent in the whole run: up and left is better. The bar is one
    standard error over seeds. A dashed line is the level of a group that sent nothing.
    """
    figure = new_figure(max(3.4, 0.9 + 0.2 * len(groups)))
    # The publication counts no floats for combining gradients.
    sent, charged = (any(one.per_agent(what) for one in groups) for what in ("sent_bytes", "paper_floats"))
    quantities = ("sent_bytes",) if sent and not charged else ("sent_bytes", "paper_floats")
    panels = figure.subplots(1, len(quantities), sharey=True, squeeze=False)[0]
    for axes, quantity in zip(panels, quantities, strict=True):
        _group_panel(axes, groups, quantity)
    main = groups[0].main
    panels[0].set_ylabel(axis(f"final {main.words}", main.unit))
    handles = [Line2D([], [], marker="o", linestyle="none", color=colour(i)) for i in range(len(groups))]
    words = [f"{index + 1}  {group.marked}" for index, group in enumerate(groups)]
    figure.legend(handles, words, loc="outside right center", frameon=False, handletextpad=0.2)
    return figure


def _group_panel(axes: Axes, groups: Sequence[Group], quantity: str) -> None:
    costs, factor = [group.per_agent(quantity) for group in groups], scale(groups[0].main.unit)
    unit, label = cost_unit(quantity, max(costs))
    axes.set_xlabel(label)
    axes.margins(y=0.15)
    _scale(axes, [cost / unit for cost in costs if cost])
    for index, (group, cost) in enumerate(zip(groups, costs, strict=True)):
        mean, error = group.final[:2]
        if cost:
            _disc(axes, index, cost / unit, factor * mean, factor * error)
        else:
            _level(axes, index, factor * mean)


def _scale(axes: Axes, costs: Sequence[float]) -> None:
    """From zero, or logarithmic where small costs would all stand at the edge."""
    if not costs:
        axes.set_xlim(0, 1)
        axes.set_xticks([0], ["0"])
    elif np.log10(max(costs) / min(costs)) < _DECADES:
        axes.set_xlim(0, 1.12 * max(costs))
    else:
        axes.set_xscale("log")
        axes.set_xlim(min(costs) / 2, 2 * max(costs))
        axes.xaxis.set_major_formatter("{x:g}")


def _disc(axes: Axes, index: int, cost: float, mean: float, error: float) -> None:
    error = np.nan_to_num(error)
    axes.errorbar(cost, mean, yerr=error, color=colour(index), capsize=3, zorder=2)
    axes.plot(cost, mean, "o", color=colour(index), markersize=12, zorder=3)
    axes.text(cost, mean, str(index + 1), **_NUMBER, color="white", zorder=4)


def _level(axes: Axes, index: int, mean: float) -> None:
    axes.axhline(mean, color=colour(index), linestyle="--", linewidth=1.2, zorder=1)
    box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": colour(index)}
    # At the right edge, alternately further in, where levels lie close together.
    place, across = 1 - 0.07 * (index % 3), axes.get_yaxis_transform()
    axes.text(place, mean, str(index + 1), **_NUMBER, color=INK, transform=across, bbox=box)
