"""How far neighbours are apart before and after they average their parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mpidcl.exchange.divergence import DIVERGENCE, Divergence
from mpidcl.record.records import AgentRecord
from mpidcl.record.tables import from_columns
from mpidcl.views.figures.style import COLOURS, end_labels, new_panel, shade
from mpidcl.views.mean_error import mean_error
from mpidcl.views.tasks.curves import TIME


def divergence_over_time(records: Sequence[AgentRecord]) -> Figure:
    """Mean and standard error over all directed pairs of neighbours of one run."""
    tables = [record.tables[DIVERGENCE] for record in records if record.has(DIVERGENCE)]
    rows = [row for table in tables for row in from_columns(Divergence, table)]
    times = sorted({row.time for row in rows})
    figure, axes = new_panel(3.0)
    labels = []
    for part, words, ink in (("before", "before\naveraging", COLOURS[1]), ("after", "after", COLOURS[0])):
        found = [mean_error(getattr(row, part) for row in rows if row.time == time) for time in times]
        mean = np.array([point.mean for point in found])
        error = np.nan_to_num(np.array([point.standard_error for point in found]))
        shade(axes, times, mean - error, mean + error, ink)
        axes.plot(times, mean, color=ink, marker="o", markersize=2.5)
        labels.append((float(mean[-1]), words, ink))
    axes.set(xlabel=TIME, ylabel="mean |difference| of a parameter")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    end_labels(axes, times[-1], labels, gap=0.14)
    return figure
