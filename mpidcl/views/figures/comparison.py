"""Several runs in one picture: metrics and paired differences."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.views.figures.style import INK, colour, new_figure, note
from mpidcl.views.groups import Group, paired_differences, views_of
from mpidcl.views.mean_error import MeanError
from mpidcl.views.units import axis, difference_unit, scale
from mpidcl.views.views import records_in

_LETTERS = 22
"""In one line below a panel."""


def metric_dots(groups: Sequence[Group]) -> Figure:
    """Every (seed, agent) as a faint dot, the mean as a dot with its standard error and its number."""
    figure = new_figure(0.9 + 0.42 * len(groups))
    panels = views_of(groups).panels(records_in(groups))
    all_axes = figure.subplots(1, len(panels), sharey=True)
    for axes, metric in zip(all_axes, panels.values(), strict=True):
        for place, group in enumerate(groups):
            values = [*group.values(metric.name).values()]
            _dots(axes, place, values, group.mean(metric.name), colour(place), scale(metric.unit))
        _name_axes(axes, textwrap.fill(metric.panel, _LETTERS), [group.marked for group in groups])
    return figure


def difference_dots(groups: Sequence[Group]) -> Figure:
    """Paired differences from the first group, with their standard error."""
    figure = new_figure(0.9 + 0.42 * max(len(groups) - 1, 1))
    metrics = views_of(groups).differences(records_in(groups))
    panels = figure.subplots(1, len(metrics), sharey=True)
    for axes, metric in zip(panels, metrics.values(), strict=True):
        found, factor = paired_differences(groups, metric.name), scale(metric.unit)
        for place, one in enumerate(found):
            _dots(axes, place, [*one.values.values()], one.mean, colour(place + 1), factor, sign=True)
        axes.axvline(0, color=INK, linewidth=0.9)
        _name_axes(axes, metric.words, [one.label + one.mean.mark for one in found])
    unit = difference_unit(groups[0].main.unit)
    figure.supxlabel(axis(f"minus {groups[0].label}", unit), fontsize=9)
    return figure


def _dots(
    axes: Axes,
    place: int,
    values: Sequence[float],
    mean: MeanError,
    ink: str,
    factor: float,
    *,
    sign: bool = False,
) -> None:
    values = [value for value in values if not np.isnan(value)]
    if not values:  # groups without a seed in common have no pairs, and others no such metric
        return
    # Evenly spread heights, in the order of (seed, agent): overlap is avoided without chance.
    heights = place + 0.17 * np.linspace(-1, 1, len(values)) if len(values) > 1 else [place]
    axes.scatter(factor * np.array(values), heights, s=9, color=ink, alpha=0.3, linewidth=0)
    error = None if np.isnan(mean.standard_error) else factor * mean.standard_error
    axes.errorbar(factor * mean.mean, place, xerr=error, fmt="o", color=ink, markersize=5, capsize=3)
    text = f"{factor * mean.mean:{'+' if sign else ''}.2f}"
    at = (factor * mean.mean, float(place))
    note(axes, text, at, (0, 7), ha="center", va="bottom", fontsize=7.5, color=INK)


def _name_axes(axes: Axes, words: str, rows: Sequence[str]) -> None:
    axes.set_xlabel(words)
    axes.margins(x=0.12)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.6)
