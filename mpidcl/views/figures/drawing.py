"""Draws the sheets of views, and what compares several runs: their metrics and paired differences."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.views.base import Sheet
from mpidcl.views.figures.style import INK, colour, new_figure, note, png, spaced, styled
from mpidcl.views.groups import Group, paired_differences, views_of
from mpidcl.views.mean_error import Pair, paired_mean
from mpidcl.views.run import Run
from mpidcl.views.units import axis, difference_unit, scale
from mpidcl.views.views import records_in


class Drawing(NamedTuple):
    """A figure ready for the page: what is said of it, its PNG, its width in inches."""

    sheet: Sheet
    png: bytes
    width: float


def run_drawings(run: Run) -> list[Drawing]:
    """The figures of one run."""
    return _drawn(run.views.sheets(run))


def comparison_drawings(groups: Sequence[Group]) -> list[Drawing]:
    """The figures of several runs."""
    sheets = [Sheet.of_groups("metrics", "Metrics", metric_dots, groups)]
    if len(groups) > 1:
        sheets.append(Sheet.of_groups("differences", "Paired differences", difference_dots, groups))
    return _drawn(sheets + views_of(groups).group_sheets(groups))


def _drawn(sheets: Sequence[Sheet]) -> list[Drawing]:
    with styled():
        made = ((sheet, sheet.draw()) for sheet in sheets)
        return [Drawing(sheet, png(one), float(one.get_figwidth())) for sheet, one in made if one is not None]


def metric_dots(groups: Sequence[Group]) -> Figure:
    """A small dot is one agent of one run, the large one the mean over agents and seeds with its standard
    error over seeds; agents that share one model are one dot. Accuracies and speed: further right is better.
    Forgetting: further left is better.
    """
    figure = new_figure(0.9 + 0.42 * len(groups))
    panels = views_of(groups).panels(records_in(groups))
    all_axes = figure.subplots(1, len(panels), sharey=True)
    for axes, metric in zip(all_axes, panels.values(), strict=True):
        for place, group in enumerate(groups):
            _dots(axes, place, group.values(metric.name), colour(place), scale(metric.unit), metric.digits)
        _name_axes(axes, textwrap.fill(metric.panel, 22), [group.marked for group in groups])
    return figure


def difference_dots(groups: Sequence[Group]) -> Figure:
    """Each small dot is one agent under one seed, compared with the same agent under the same seed in the
    first group: what luck does to both cancels. The bar is one standard error over seeds. How many of them a
    mean must be away from zero to be hardly luck depends on the number of seeds: 12.7 with two, 4.3 with
    three, 2.8 with five, 2.4 with eight.
    """
    figure = new_figure(0.9 + 0.42 * max(len(groups) - 1, 1))
    metrics = views_of(groups).differences(records_in(groups))
    panels = figure.subplots(1, len(metrics), sharey=True)
    for axes, metric in zip(panels, metrics.values(), strict=True):
        found, factor = paired_differences(groups, metric.name), scale(metric.unit)
        for place, one in enumerate(found):
            _dots(axes, place, one.values, colour(place + 1), factor, f"+{metric.digits}")
        axes.axvline(0, color=INK, linewidth=0.9)
        _name_axes(axes, metric.words, [one.label + one.mean.mark for one in found])
    unit = difference_unit(groups[0].main.unit)
    figure.supxlabel(axis(f"minus {groups[0].label}", unit), fontsize=9)
    return figure


def _dots(axes: Axes, place: int, found: Mapping[Pair, float], ink: str, factor: float, form: str) -> None:
    found = {pair: value for pair, value in found.items() if not np.isnan(value)}
    if not found:  # groups without a seed in common have no pairs, and others no such metric
        return
    values, mean = [*found.values()], paired_mean(found).times(factor)
    heights = place + spaced(len(values), 0.17)  # in the order of (seed, agent)
    axes.scatter(factor * np.array(values), heights, s=9, color=ink, alpha=0.3, linewidth=0)
    error = None if np.isnan(mean.standard_error) else mean.standard_error
    axes.errorbar(mean.mean, place, xerr=error, fmt="o", color=ink, markersize=5, capsize=3)
    style = {"ha": "center", "va": "bottom", "fontsize": 7.5, "color": INK}
    note(axes, f"{mean.mean:{form}}", (mean.mean, float(place)), (0, 7), **style)


def _name_axes(axes: Axes, words: str, rows: Sequence[str]) -> None:
    axes.set_xlabel(words)
    axes.margins(x=0.12)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.6)
