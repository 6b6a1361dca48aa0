"""How the agents grew, and what each candidate module was worth when its task was learned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import COLOURS, FAINT, INK, new_figure, note, spaced, whole_numbers
from mpidcl.views.modules.counts import decisions, growth

_LEAST = 0.1
"""Accuracies below it count as this: a gain over no right row at all would be infinite and hide others."""


def module_growth(records: Sequence[AgentRecord], threshold: float | None = None) -> Figure:
    """Left: how many modules an agent has after each task; the grey lines are the agents, the blue one is
    their mean. Right: what each candidate module added to the accuracy on its task's validation rows, in % of
    the accuracy without it. Circles began at random, triangles were received from a neighbour; filled ones
    were kept.
    """
    figure = new_figure(3.5)
    left, right = figure.subplots(1, 2)
    _growth_panel(left, records)
    _gain_panel(right, records, threshold)
    for axes in (left, right):
        whole_numbers(axes.xaxis, 12)
    return figure


def _growth_panel(axes: Axes, records: Sequence[AgentRecord]) -> None:
    counts = [growth(record) for record in records]
    # Lines of agents with equal counts would hide each other: each keeps to its own height.
    for count, offset in zip(counts, spaced(len(counts), 0.1), strict=True):
        axes.plot(range(len(count)), np.array(count) + offset, color=FAINT, linewidth=0.8, alpha=0.7)
    tasks = max(len(count) for count in counts)
    mean = [np.mean([count[task] for count in counts if task < len(count)]) for task in range(tasks)]
    axes.plot(range(tasks), mean, color=COLOURS[0], marker="o", markersize=4)
    style = {"va": "center", "color": COLOURS[0], "annotation_clip": False}
    note(axes, f"{mean[-1]:.1f}", (tasks - 1, float(mean[-1])), (6, 0), **style)
    axes.set(xlabel="after task", ylabel="modules")
    whole_numbers(axes.yaxis)


def _gain_panel(axes: Axes, records: Sequence[AgentRecord], threshold: float | None) -> None:
    offsets = dict(zip((record.agent for record in records), spaced(len(records), 0.3), strict=True))
    candidates = [(record.agent, one) for record in records for one in decisions(record)]
    for accepted, received in product((True, False), (False, True)):
        found = [(a, d) for a, d in candidates if (d.received, d.kept) == (received, accepted)]
        places = [decision.task + offsets[agent] for agent, decision in found]
        gains = [100 * decision.gain / max(decision.without_accuracy, _LEAST) for _, decision in found]
        words, mark, ink = ("received", "^", COLOURS[1]) if received else ("random", "o", COLOURS[0])
        # kept ones are filled, so that the picture also says it without colours
        state, fill = ("kept", "full") if accepted else ("dropped", "none")
        if found:
            axes.plot(places, gains, mark, color=ink, fillstyle=fill, markersize=5, label=f"{words}, {state}")
    axes.axhline(0, color=FAINT, linewidth=0.8)
    if threshold is not None:
        axes.axhline(100 * threshold, color=INK, linewidth=0.9, linestyle="--", label="threshold")
    axes.set(xlabel="candidate of task", ylabel="gain, of the accuracy without it [%]")
    if entries := len(axes.get_legend_handles_labels()[1]):
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=-(-entries // 2), frameon=False, borderpad=0,
            handletextpad=0.4, columnspacing=1.2, handlelength=1.4, fontsize=8,
        )  # fmt: skip
