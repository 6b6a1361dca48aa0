"""Where the time goes."""

from __future__ import annotations

from mpidcl.base.quantities import seconds_text
from mpidcl.views.base import Sheet, Tile, View
from mpidcl.views.network.view import unbroken
from mpidcl.views.run import Run

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
        from mpidcl.views.time.split import time_split

        if not any(record.timing for record in run.records):
            return []
        return [Sheet.of("time-split", "Time", time_split, run.records)]
