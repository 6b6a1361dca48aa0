"""How far neighbours are apart around each averaging of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.exchange.divergence import DIVERGENCE, Divergence
from mpidcl.network.schedule.words import TASKS, TimeWords
from mpidcl.record.records import AgentRecord
from mpidcl.record.tables import from_columns
from mpidcl.views.base import Sheet, View
from mpidcl.views.mean_error import mean_error
from mpidcl.views.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WINDOWS = 40
"""Into so many a run is divided where no two agents average at one time."""
IN_WINDOWS = f" Agents average at times of their own: a point is the mean over 1/{WINDOWS} of the run."


class DivergenceView(View):
    """The distance between neighbours, before and after they average."""

    name = "divergence"
    reads = (DIVERGENCE,)

    def sheets(self, run: Run) -> list[Sheet]:
        known = run.records, run.time
        one = Sheet.of("divergence", "Distance between neighbours", divergence_over_time, *known)
        return [one if run.time.together else replace(one, reading=one.reading + IN_WINDOWS)]


def divergence_over_time(records: Sequence[AgentRecord], clock: TimeWords = TASKS) -> Figure:
    """Mean absolute difference of one shared parameter to the same one of a neighbour, just before and just
    after averaging; the band is ± one standard error over the pairs of this run. Learning pulls neighbours
    apart, averaging brings them together.
    """
    from mpidcl.views.figures.style import COLOURS, end_labels, new_panel, shade

    tables = [record.tables[DIVERGENCE] for record in records if record.has(DIVERGENCE)]
    rows = [row for table in tables for row in from_columns(Divergence, table)]
    windows = None if clock.together else max(row.time for row in rows) / WINDOWS
    by_time: dict[float, list[Divergence]] = {}
    for row in rows:
        by_time.setdefault(_place(row.time, windows), []).append(row)
    times = sorted(by_time)
    figure, axes = new_panel(3.0)
    labels = []
    for part, words, ink in (("before", "before\naveraging", COLOURS[1]), ("after", "after", COLOURS[0])):
        found = [mean_error(getattr(row, part) for row in by_time[time]) for time in times]
        mean = np.array([point.mean for point in found])
        error = np.nan_to_num(np.array([point.standard_error for point in found]))
        shade(axes, times, mean - error, mean + error, ink)
        axes.plot(times, mean, color=ink, marker="o", markersize=2.5)
        labels.append((float(mean[-1]), words, ink))
    axes.set(xlabel=clock.axis, ylabel="mean |difference| of a parameter")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    end_labels(axes, times[-1], labels, gap=0.14)
    return figure


def _place(time: float, window: float | None) -> float:
    """The time, or the middle of its window of that many seconds."""
    if not window:
        return time
    return (min(math.floor(time / window), WINDOWS - 1) + 0.5) * window
