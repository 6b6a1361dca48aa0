"""Where the time of a step goes when agents replay from one memory, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.learning.replay_log import PASSES
from mpidcl.record.records import AgentRecord
from mpidcl.record.tables import Table

Doubles = NDArray[np.float64]
TIMES = {
    "load_s": "batches",
    "draw_s": "draws and copies",
    "late_s": "waiting for the slowest agent",
    "network_s": "waiting for rows",
    "train_s": "gradient and step",
    "share_s": "sharing gradients",
    "insert_s": "inserting",
}
"""Parts of a step, and the words for them; `network_s` is what is left of the waits without `late_s`."""


class Replayed(NamedTuple):
    """Of one agent: `steps`, seconds in all of each of `TIMES`, and the longest of the waits that each pass
    has as its 99th percentile."""

    steps: int
    seconds: dict[str, float]
    wait_p99_s: float

    @property
    def whole_s(self) -> float:
        """Seconds of all passes."""
        return sum(self.seconds.values())

    @property
    def overhead(self) -> float:
        """Share of a step in draws, copies and waits for rows, without waits for the slowest agent."""
        mine = self.seconds["draw_s"] + self.seconds["network_s"]
        return mine / self.whole_s if self.whole_s else 0.0


def replayed(record: AgentRecord) -> Replayed:
    """The times of one agent that has the table."""
    table: Table = record.tables[PASSES]
    whole = {name: float(np.sum(table[name])) for name in (*TIMES, "wait_s") if name in table}
    seconds = whole | {"network_s": max(0.0, whole["wait_s"] - whole["late_s"])}
    return Replayed(
        int(table["steps"].sum()),
        {name: seconds[name] for name in TIMES},
        float(np.max(table["wait_p99_s"], initial=0.0)),
    )


def tasks_replayed(records: Sequence[AgentRecord]) -> tuple[list[int], Doubles]:
    """Tasks [m] that were learned, and the share [m, tasks] of the rows replayed there that each task gave.

    NaN where none were replayed.
    """
    tables = [record.tables[PASSES] for record in records if record.has(PASSES)]
    tasks = sorted({int(task) for table in tables for task in table["task"]})
    width = max(table["given"].shape[1] for table in tables)
    rows = np.zeros((len(tasks), width))
    for table in tables:
        given = np.asarray(table["given"], np.float64)
        for place, task in enumerate(tasks):
            rows[place, : given.shape[1]] += given[table["task"] == task].sum(0)
    total = rows.sum(1, keepdims=True)
    return tasks, np.divide(rows, total, out=np.full_like(rows, np.nan), where=total > 0)
