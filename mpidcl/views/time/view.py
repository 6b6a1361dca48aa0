"""Where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.base.quantities import seconds_text
from mpidcl.record.records import AgentRecord
from mpidcl.views.base import Sheet, Tile, View
from mpidcl.views.network.view import unbroken
from mpidcl.views.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = {
    "start_s": "starting",
    "learn_s": "learning",
    "evaluate_s": "evaluating",
    "meet_s": "meeting",
    "wait_s": "waiting",
    "checkpoint_s": "checkpoints",
    "other_s": "other",
}
"""What an agent does with its time, and the words for it."""


class TimeView(View):
    """Wall time, and what every agent did with it."""

    name = "time"

    def tiles(self, run: Run) -> list[Tile]:
        if not run.finished:
            return []
        time = run.summary["time"]
        words = f"wall time; {unbroken(seconds_text(time['cpu_s']))} of CPU"
        return [Tile(unbroken(seconds_text(time["wall_s"])), None, words)]

    def sheets(self, run: Run) -> list[Sheet]:
        if not any(record.timing for record in run.records):
            return []
        return [Sheet.of("time-split", "Time", time_split, run.records)]


def time_split(records: Sequence[AgentRecord]) -> Figure:
    """Time of the clock, by agent. Starting is agreeing with the neighbours on what will happen; meeting is
    packing, sending and taking in; waiting is idling until a neighbour's frame has come, and the turns of the
    other agents where several share a process; other is the progress lines and what lies between the parts.
    The parts add up to the wall time (black tick), from the agent's first to its last action. Loading Python
    and its libraries comes before that.
    """
    from mpidcl.views.figures.style import COLOURS, INK, new_panel

    inks = *(COLOURS[place] for place in (3, 0, 5, 2, 4, 6)), "#BBBBBB"
    largest = max(record.timing.get("wall_s", 0.0) for record in records)
    unit, name = (1.0, "s") if largest < 300 else (60.0, "min") if largest < 4 * 3600 else (3600.0, "h")
    thick = 0.3 if len(records) <= 12 else 0.16
    figure, axes = new_panel(1.1 + thick * len(records))
    places = np.arange(len(records))
    start = np.zeros(len(records))
    for (part, label), ink in zip(PARTS.items(), inks, strict=True):
        length = np.array([record.timing.get(part, 0.0) / unit for record in records])
        axes.barh(places, length, left=start, color=ink, height=0.72, label=label)
        start += length
    walls = [record.timing.get("wall_s", 0.0) / unit for record in records]
    axes.plot(walls, places, "|", color=INK, markersize=9, markeredgewidth=1.6, label="wall time")
    axes.set_yticks(places, [f"agent {record.agent}" for record in records])
    axes.tick_params(axis="y", labelsize=8 if len(records) <= 12 else 6, length=0)
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    axes.set_xlabel(f"time [{name}]")
    handles, words = ([*found[1:], found[0]] for found in axes.get_legend_handles_labels())  # wall time last
    style = {"ncols": len(words), "frameon": False, "handlelength": 1, "borderpad": 0}
    axes.legend(handles, words, loc="lower left", bbox_to_anchor=(0, 1), **style)
    return figure
