"""Where the time goes."""

from __future__ import annotations

from functools import partial

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
        return [Sheet("time-split", "Time", TIME, partial(time_split, run.records))]


TIME = (
    "Time of the clock, by agent. Starting is agreeing with the neighbours on what will happen; meeting is "
    "packing, sending and taking in; waiting is idling until a neighbour's frame has come, and the turns of "
    "the other agents where several share a process; other is the progress lines and what lies between the "
    "parts. The parts add up to the wall time (black tick), from the agent's first to its last action. "
    "Loading Python and its libraries comes before that."
)
