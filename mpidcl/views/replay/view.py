"""Replay from one memory of all agents."""

from __future__ import annotations

from mpidcl.learning.replay_log import FILL, PASSES
from mpidcl.views.base import Sheet, Tile, View
from mpidcl.views.replay.times import replayed, tasks_replayed
from mpidcl.views.run import Run


class ReplayView(View):
    """What replay takes of a step, whose rows come, and what each agent holds."""

    name = "replay"
    reads = (PASSES,)

    def tiles(self, run: Run) -> list[Tile]:
        found = [replayed(record) for record in run.records if self.sees(record)]
        share = max(one.overhead for one in found)
        wait = 1e3 * max(one.wait_p99_s for one in found)
        words = f"of a step for replay, of the agent that had most; 99 of 100 waits are below {wait:.2g} ms"
        return [Tile(f"{100 * share:.2g}", "%", words)]

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.replay import figures

        records = [record for record in run.records if self.sees(record)]
        sheets = [Sheet.of("replay-time", "Time of a step with replay", figures.step_times, records)]
        if (tasks_replayed(records)[1] > 0).any():
            sheets.append(
                Sheet.of("replay-tasks", "Whose rows were replayed", figures.replayed_tasks, records)
            )
        if any(record.has(FILL) for record in records):
            sheets.append(Sheet.of("replay-fill", "What the memory holds", figures.held_classes, records))
        return sheets
