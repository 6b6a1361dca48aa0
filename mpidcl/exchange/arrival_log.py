"""Which frame was handled when: a log with a bound, where nothing else tells what has happened."""

from __future__ import annotations

from array import array

import numpy as np

from mpidcl.record.tables import Table

MOST_ROWS = 100_000
"""Later frames are not written down: 48 bytes each, in memory and in every checkpoint."""

_COLUMNS = {"source": "q", "number": "q", "left": "q", "tick": "q", "left_s": "d", "tick_s": "d"}


class ArrivalLog:
    """The first MOST_ROWS frames that an agent has handled.

    source, number: the frame. left: ticks that its sender had begun when it left; tick: ticks of this agent
    when it was handled. left_s, tick_s: the same moments in seconds since the process of sender, or of this
    agent, made it: two clocks, of which each began when its process did.
    """

    def __init__(self, table: Table | None = None) -> None:
        self._columns = {
            name: array(kind, [] if table is None else np.asarray(table[name]).tolist())
            for name, kind in _COLUMNS.items()
        }

    def add(self, source: int, number: int, left: int, tick: int, left_s: float, tick_s: float) -> None:
        """A frame is handled."""
        if len(self._columns["source"]) < MOST_ROWS:
            for column, value in zip(
                self._columns.values(), (source, number, left, tick, left_s, tick_s), strict=True
            ):
                column.append(value)

    def table(self) -> Table:
        """As columns."""
        return {
            name: np.array(column, np.int64 if column.typecode == "q" else np.float64)
            for name, column in self._columns.items()
        }
