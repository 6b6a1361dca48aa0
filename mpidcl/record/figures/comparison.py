"""Several runs in one picture: metrics, learning curves, cost, paired differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.record.compare import Difference, Group, paired_differences
from mpidcl.record.figures.cost import cost_unit
from mpidcl.record.figures.curves import TIME, draw_mean, mean_curves, seen, time_axis
from mpidcl.record.figures.style import FAINT, INK, colour, end_labels, line, new_figure, spread
from mpidcl.record.metrics import MeanError

PANELS = {
    "final_accuracy": "final accuracy [%]",
    "average_accuracy": "average accuracy [%]",
    "learning_speed": "learning speed [%]",
    "forgetting": "forgetting [points]",
}
DIFFERENCES = ("final_accuracy", "learning_speed")


def metric_dots(groups: Sequence[Group]) -> Figure:
    """Every (seed, agent) as a faint dot, the mean as a dot with its standard error and its number."""
    figure = new_figure(0.9 + 0.42 * len(groups))
    all_axes = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (metric, words) in zip(all_axes, PANELS.items(), strict=True):
        for place, group in enumerate(groups):
            _dots(axes, place, [*group.values(metric).values()], group.mean(metric), colour(place))
        axes.set_xlabel(words)
        axes.margins(x=0.12)
        axes.tick_params(axis="y", length=0)
    _name_rows(all_axes[0], [group.label for group in groups])
    return figure


def group_curves(groups: Sequence[Group]) -> Figure:
    """Accuracy on all tasks seen so far: mean and standard error over agents and seeds."""
    figure = new_figure(3.8)
    axes = figure.subplots()
    labels = []
    everybody = [record for group in groups for run in group.runs for record in run.records]
    for index, group in enumerate(groups):
        curves = mean_curves([record for run in group.runs for record in run.records], seen)
        draw_mean(axes, curves, colour(index), line(index))
        labels.append((100 * float(curves[-1].mean[-1]), group.label, colour(index)))
    time_axis(axes, everybody)
    axes.set(xlabel=TIME, ylabel="accuracy on tasks seen so far [%]")
    end_labels(axes, axes.get_xlim()[1], labels)
    return figure


def group_costs(groups: Sequence[Group]) -> Figure:
    """Final accuracy of each group over what one of its agents sent."""
    figure = new_figure(3.4)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, quantity in zip(panels, ("wire_bytes", "paper_floats"), strict=True):
        _cost_panel(axes, groups, quantity)
    panels[0].set_ylabel("final accuracy [%]")
    return figure


def difference_dots(groups: Sequence[Group]) -> Figure:
    """Paired differences from the first group; a group whose bar stays clear of zero differs from it."""
    figure = new_figure(0.9 + 0.42 * max(len(groups) - 1, 1))
    panels = figure.subplots(1, len(DIFFERENCES), sharey=True)
    found: list[Difference] = []
    for axes, metric in zip(panels, DIFFERENCES, strict=True):
        found = paired_differences(groups, metric)
        for place, one in enumerate(found):
            _dots(axes, place, [*one.values.values()], one.mean, colour(place + 1), sign=True)
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_xlabel(f"{PANELS[metric].split(' [')[0]}, minus {groups[0].label} [points]")
        axes.margins(x=0.12)
        axes.tick_params(axis="y", length=0)
    _name_rows(panels[0], [one.label for one in found])
    return figure


def _dots(
    axes: Axes, place: int, values: Sequence[float], mean: MeanError, ink: str, *, sign: bool = False
) -> None:
    # Evenly spread heights, in the order of (seed, agent): overlap is avoided without chance.
    heights = place + 0.17 * np.linspace(-1, 1, len(values)) if len(values) > 1 else [place]
    axes.scatter(100 * np.array(values), heights, s=9, color=ink, alpha=0.3, linewidth=0)
    error = None if np.isnan(mean.standard_error) else 100 * mean.standard_error
    axes.errorbar(100 * mean.mean, place, xerr=error, fmt="o", color=ink, markersize=5, capsize=3)
    text = f"{100 * mean.mean:{'+' if sign else ''}.2f}"
    axes.annotate(
        text, (100 * mean.mean, place), xytext=(0, 7), textcoords="offset points", ha="center",
        va="bottom", fontsize=7.5, color=INK,
    )  # fmt: skip


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.6)


def _cost_panel(axes: Axes, groups: Sequence[Group], quantity: str) -> None:
    costs = [group.per_agent(quantity) for group in groups]
    unit, label = cost_unit(quantity, max(costs))
    for index, (group, cost) in enumerate(zip(groups, costs, strict=True)):
        mean = group.mean("final_accuracy")
        error = None if np.isnan(mean.standard_error) else 100 * mean.standard_error
        axes.errorbar(cost / unit, 100 * mean.mean, yerr=error, fmt="o", color=colour(index), capsize=3)
    axes.axhline(100 * groups[0].mean("final_accuracy").mean, color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_xlabel(label)
    axes.margins(y=0.2)
    largest = max(costs) / unit or 1.0
    axes.set_xlim(-0.05 * largest, 1.45 * largest)
    _name_points(axes, groups, [cost / unit for cost in costs])


def _name_points(axes: Axes, groups: Sequence[Group], costs: Sequence[float]) -> None:
    """Right of each point, moved up or down where names would meet."""
    low, high = axes.get_ylim()
    heights = [100 * group.mean("final_accuracy").mean for group in groups]
    order = sorted(range(len(groups)), key=heights.__getitem__)
    places = spread([heights[index] for index in order], 0.06 * (high - low))
    for index, height in zip(order, places, strict=True):
        axes.annotate(
            groups[index].label, (costs[index], height), xytext=(7, 0), textcoords="offset points",
            va="center", color=colour(index), annotation_clip=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
        )  # fmt: skip
