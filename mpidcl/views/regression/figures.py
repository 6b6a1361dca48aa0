"""Figures of linear models: errors over time, of groups and of runs, and late errors by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from mpidcl.network.schedule.words import TimeWords
from mpidcl.record.measures import Measure
from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import (
    COLOURS,
    FAINT,
    INK,
    Label,
    colour,
    end_labels,
    line,
    new_figure,
    new_panel,
    shade,
)
from mpidcl.views.groups import Group
from mpidcl.views.mean_error import Pair
from mpidcl.views.regression.numbers import begin_of_late, group_of, grouped, late, measured
from mpidcl.views.tasks.curves import Line, mean_curve
from mpidcl.views.units import axis, scale

MOST_GROUPS = 64
LOWEST_R2 = -0.2
"""Where the axis of a measure like R^2 ends: at the start it may be as low as one likes."""
_BAND = "#F1F1F1"
_FEW = 1000
"""Below this ratio of an axis's ends decades alone are too few marks."""


def error_curves(records: Sequence[AgentRecord], words: TimeWords) -> Figure:
    """A thin line is the mean over the agents of one group, the black line the mean over all agents. The grey
    band is what counts as late. Errors have a logarithmic axis: a straight fall is an exponential one, and
    what it ends in is the floor of this step size.
    """
    shown = _shown(records[0].measures)
    figure = new_figure(0.8 + 2.3 * len(shown))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    members: dict[int, list[AgentRecord]] = {}
    for record in records:
        members.setdefault(group_of(record), []).append(record)
    end = max(row.time for record in records for row in record.evaluations)
    for axes, one in zip(panels, shown, strict=True):
        axes.set_xlim(0, end or 1)
        axes.axvspan(min(map(begin_of_late, records)), end, color=_BAND, linewidth=0, zorder=0)
        _of_groups(axes, dict(sorted(members.items())), records, one)
    panels[-1].set_xlabel(words.axis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _shown(measures: Sequence[Measure]) -> list[Measure]:
    """The first of those that should fall, and the first of those that should rise."""
    found = {one.better: one for one in reversed(measures)}
    return [found[better] for better in ("lower", "higher") if better in found]


def _of_groups(
    axes: Axes, members: Mapping[int, Sequence[AgentRecord]], records: Sequence[AgentRecord], one: Measure
) -> None:
    """A line for each; few have a colour and a name each."""
    few = len(members) <= len(COLOURS)
    _scaled(axes, one)
    for place, (group, agents) in enumerate(members.items()):
        time, mean = _mean(_lines(_of_one_run(agents), one))
        ink = colour(place) if few else FAINT
        words = f"group {group}" if few else "a group" if place == 0 else None
        axes.plot(time, mean, color=ink, linewidth=1.0, alpha=0.9 if few else 0.45, label=words)
    time, mean = _mean(_lines(_of_one_run(records), one))
    axes.plot(time, mean, color=INK, linewidth=2.2, label="mean")
    _floor(axes, one)


def _of_one_run(records: Sequence[AgentRecord]) -> dict[Pair, AgentRecord]:
    return {(0, record.agent): record for record in records}


def _lines(models: Mapping[Pair, AgentRecord], one: Measure, samples: bool = False) -> dict[Pair, Line]:
    """A measure over time, or over samples, of each agent; evaluations without a number are left out."""
    found: dict[Pair, Line] = {}
    for pair, record in models.items():
        known = [(row.tick if samples else row.time, measured(row, one.name)) for row in record.evaluations]
        known = [point for point in known if not np.isnan(point[1])]
        if known:
            found[pair] = [at for at, _ in known], [scale(one.unit) * value for _, value in known]
    return found


def _mean(lines: Mapping[Pair, Line]) -> tuple[Sequence[float], Sequence[float]]:
    """Times and means."""
    if not lines:
        return [0.0], [np.nan]
    found = mean_curve(lines)
    return found.time.tolist(), found.mean.tolist()


def _scaled(axes: Axes, one: Measure) -> None:
    if one.better == "lower":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(axis(one.words, one.unit))


def _floor(axes: Axes, one: Measure) -> None:
    """Ends the axis of what should rise where it begins to mean something; names more than decades of few."""
    low, high = axes.get_ylim()
    if one.better == "higher":
        axes.set_ylim(bottom=max(LOWEST_R2 * scale(one.unit), low))
    elif high / low < _FEW:
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))


def late_by_group(records: Sequence[AgentRecord]) -> Figure:
    """A bar is the mean over the agents of a group, a small dot one of its agents. The dashed line is the
    mean over all agents; a dotted one, where groups have different sizes, the mean over groups. At most 64
    groups are shown.
    """
    main, found = records[0].main, grouped(records)
    metric, factor = f"late_{main.name}", scale(main.unit)
    shown = found.groups[:MOST_GROUPS]
    figure, axes = new_panel(1.0 + (0.3 if len(shown) <= 12 else 0.16) * len(shown))
    places = np.arange(len(shown))
    axes.barh(places, factor * np.array(found.means[metric][: len(shown)]), color=COLOURS[5], height=0.72)
    values = {record.agent: factor * late(record)[main.name] for record in records}
    for place, group in enumerate(shown):
        own = [values[record.agent] for record in records if group_of(record) == group]
        axes.plot(own, [place] * len(own), "o", color=COLOURS[0], markersize=3, alpha=0.7, linewidth=0)
    axes.axvline(float(np.mean([*values.values()])), color=INK, linewidth=1.0, linestyle="--")
    if found.uneven:
        axes.axvline(factor * found.over_groups(metric), color=INK, linewidth=1.2, linestyle=":")
    names = [f"group {group} ({_agents(count)})" for group, count in zip(shown, found.agents, strict=False)]
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", labelsize=8 if len(shown) <= 12 else 6, length=0)
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    axes.set_xlabel(axis(f"late {main.words}", main.unit))
    return figure


def _agents(count: int) -> str:
    return f"{count} agent{'s' * (count != 1)}"


def group_error_curves(groups: Sequence[Group]) -> Figure:
    """Mean over agents and seeds, on a logarithmic axis for errors; the band is ± one standard error over
    seeds, and there is none where there is one seed. Runs under different clocks are drawn over samples.
    """
    shown = _shown(groups[0].records[0].measures)
    times = {group.runs[0].time for group in groups}
    samples = len(times) > 1
    figure = new_figure(0.8 + 2.5 * len(shown))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, one in zip(panels, shown, strict=True):
        _scaled(axes, one)
        labels, end = list[Label](), 0.0
        for place, group in enumerate(groups):
            lines = _lines(group.models, one, samples)
            if not lines:
                continue
            found, ink = mean_curve(lines), colour(place)
            if len(group.runs) > 1:
                low = found.mean - found.error
                if one.better == "lower":  # an error is above 0, and so is what a logarithmic axis can show
                    low = np.maximum(low, found.mean / 20)
                shade(axes, found.time, low, found.mean + found.error, ink)
            axes.plot(found.time, found.mean, color=ink, linestyle=line(place))
            labels.append((float(found.mean[-1]), group.label, ink))
            end = max(end, float(found.time[-1]))
        axes.set_xlim(0, end or 1)
        _floor(axes, one)
        if axes is panels[0]:
            end_labels(axes, end, labels, gap=0.085)
    panels[-1].set_xlabel("samples of an agent" if samples else times.pop().axis)
    return figure
