"""Several runs in one picture: metrics, learning curves, paired differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.record.mean_error import MeanError
from mpidcl.report.compare import Difference, Group, paired_differences
from mpidcl.report.figures.curves import TIME, draw_mean, mean_curves, seen, time_axis
from mpidcl.report.figures.style import INK, colour, end_labels, line, new_figure
from mpidcl.report.words import SHOWN, metric_words

PANELS = {
    "final_accuracy": "final accuracy [%]",
    "final_accuracy_all_classes": "… all classes [%]",
    "first_accuracy": "first accuracy [%]",
    "average_accuracy": "average accuracy [%]",
    "learning_speed": "learning speed [%]",
    "learning_speed_current": "… of current task [%]",
    "forgetting": "forgetting [points]",
    "forgetting_all_classes": "… all classes [points]",
}
_SERIAL_DIFFERENCES = ("final_accuracy", "learning_speed", "learning_speed_current")
_PARALLEL_DIFFERENCES = ("final_accuracy", "final_accuracy_all_classes", "forgetting")


def metric_dots(groups: Sequence[Group]) -> Figure:
    """Every (seed, agent) as a faint dot, the mean as a dot with its standard error and its number."""
    figure = new_figure(0.9 + 0.42 * len(groups))
    known = metric_words(record for group in groups for record in group.records)
    panels = {metric: words for metric, words in PANELS.items() if metric in known}
    all_axes = figure.subplots(1, len(panels), sharey=True)
    for axes, (metric, words) in zip(all_axes, panels.items(), strict=True):
        for place, group in enumerate(groups):
            _dots(axes, place, [*group.values(metric).values()], group.mean(metric), colour(place))
        axes.set_xlabel(words)
        axes.margins(x=0.12)
        axes.tick_params(axis="y", length=0)
    _name_rows(all_axes[0], [group.marked for group in groups])
    return figure


def group_curves(groups: Sequence[Group]) -> Figure:
    """Accuracy on all tasks seen so far: mean over agents and seeds, and its standard error."""
    figure = new_figure(3.8)
    axes = figure.subplots()
    labels = []
    everybody = [record for group in groups for record in group.records]
    for index, group in enumerate(groups):
        curves = mean_curves(group.models, seen)
        draw_mean(axes, curves, colour(index), line(index))
        labels.append((100 * float(curves[-1].mean[-1]), group.marked, colour(index)))
    time_axis(axes, everybody)
    axes.set(xlabel=TIME, ylabel="accuracy on tasks seen so far [%]")
    end_labels(axes, axes.get_xlim()[1], labels)
    return figure


def difference_dots(groups: Sequence[Group]) -> Figure:
    """Paired differences from the first group, with their standard error."""
    figure = new_figure(0.9 + 0.42 * max(len(groups) - 1, 1))
    known = metric_words(record for group in groups for record in group.records)
    parallel = any(record.course is not None for group in groups for record in group.records)
    wanted = _PARALLEL_DIFFERENCES if parallel else _SERIAL_DIFFERENCES
    metrics = [metric for metric in wanted if metric in known]
    panels = figure.subplots(1, len(metrics), sharey=True)
    found: list[Difference] = []
    for axes, metric in zip(panels, metrics, strict=True):
        found = paired_differences(groups, metric)
        for place, one in enumerate(found):
            _dots(axes, place, [*one.values.values()], one.mean, colour(place + 1), sign=True)
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_xlabel(SHOWN[metric])
        axes.margins(x=0.12)
        axes.tick_params(axis="y", length=0)
    _name_rows(panels[0], [one.label + one.mean.mark for one in found])
    figure.supxlabel(f"minus {groups[0].label} [points]", fontsize=9)
    return figure


def _dots(
    axes: Axes, place: int, values: Sequence[float], mean: MeanError, ink: str, *, sign: bool = False
) -> None:
    if not values:  # groups without a seed in common have no pairs
        return
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
