"""What replay from a memory of all agents does in a run: where time goes, and whose rows come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from mpidcl.record.tables import Table, Tables

Numbers = npt.NDArray[np.int64]
PASSES, FILL = "replay", "replay_fill"
"""Names of its tables."""
PARTS = ("load", "draw", "wait", "train", "share", "insert")
"""What an agent does in a pass: it cuts and augments batches; finds draws and copies the rows that leave;
waits for rows that come; makes gradients and steps; shares gradients, if one model is trained; offers rows to
its memory."""
_FILLS = ("task", "head", "label", "rows")
_COUNTS = ("task", "steps", "asked", "came")
_TIMES = (*(f"{part}_s" for part in PARTS), "late_s", "wait_p99_s")


class NoLog:
    """Of a rehearsal that draws from the agent's own memory: nothing is noted."""

    def turn_to(self, part: str) -> float:
        """What follows is `part` (one of PARTS); seconds of what went before, since it began."""
        return 0.0

    def end_pass(self) -> None:
        """The pass is over."""

    def end_task(self, task: int, labels: Callable[[], tuple[Numbers, Numbers]]) -> None:
        """`task` has ended; `labels()` gives head and label [n] of the rows held."""

    def tables(self) -> Tables:
        """What the record shows, of the passes that are over."""
        return {}

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on from what `tables` gave."""


class ReplayLog(NoLog):
    """Table `replay` has a row for each pass over an epoch, `replay_fill` one for each class at a task's end.

    `replay`: `task` and `steps` of the pass; rows that this agent `asked` for and that `came`; `given
    [passes, tasks]`: rows of its memory that anybody drew, by the task that they are from; seconds `PARTS`_s,
    of the waits `late_s`: until the slowest agent had come to the same step, and `wait_p99_s`: the 99th
    percentile of the waits of a pass. `replay_fill`: `task` that ended, and `rows` held of each `label` of a
    `head`.
    """

    def __init__(self) -> None:
        self._counts: list[list[int]] = []
        self._times: list[list[float]] = []
        self._given: list[Numbers] = []
        self._fill: list[tuple[int, int, int, int]] = []
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._part, self._since = "", 0.0
        self._waits: list[float] = []
        self._late = 0.0

    # --- a pass -----------------------------------------------------------------------------------

    def begin_pass(self, task: int) -> None:
        """A pass of `task` begins."""
        self._counts.append([task, 0, 0, 0])
        self._given.append(np.zeros(task + 1, np.int64))
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._waits, self._late = [], 0.0
        self._part, self._since = "load", time.perf_counter()

    def turn_to(self, part: str) -> float:
        now = time.perf_counter()
        passed, self._since = now - self._since, now
        if self._part:
            self._spent[self._part] += passed
        self._part = part
        return passed

    def waited(self, seconds: float, late_s: float) -> None:
        """A step has waited for its rows, for `late_s` of it until all agents had come there."""
        self._waits.append(seconds)
        self._late += late_s

    def drew(self, asked: int, came: int) -> None:
        """A step has asked for so many rows, and so many came."""
        for place, more in enumerate((1, asked, came), start=1):
            self._counts[-1][place] += more

    def gave(self, tasks: Numbers) -> None:
        """Rows of these tasks [n] were drawn of this agent's memory."""
        most = int(tasks.max(initial=-1)) + 1
        if most > len(self._given[-1]):
            self._given[-1] = np.append(self._given[-1], np.zeros(most - len(self._given[-1]), np.int64))
        self._given[-1] += np.bincount(tasks, minlength=len(self._given[-1]))

    def end_pass(self) -> None:
        self.turn_to("")
        p99 = float(np.percentile(self._waits, 99)) if self._waits else 0.0
        self._times.append([*self._spent.values(), self._late, p99])

    def end_task(self, task: int, labels: Callable[[], tuple[Numbers, Numbers]]) -> None:
        pairs, rows = np.unique(np.stack(labels(), axis=1), axis=0, return_counts=True)
        found = zip(pairs.tolist(), rows.tolist(), strict=True)
        self._fill += [(task, head, label, count) for (head, label), count in found]

    # --- record -----------------------------------------------------------------------------------

    def tables(self) -> Tables:
        passes = len(self._times)
        counts = np.array(self._counts[:passes], np.int64).reshape(passes, len(_COUNTS))
        times = np.array(self._times).reshape(passes, len(_TIMES))
        given = np.zeros((passes, max(map(len, self._given), default=0)), np.int64)
        for number, one in enumerate(self._given[:passes]):
            given[number, : len(one)] = one
        fill = np.array(self._fill, np.int64).reshape(-1, 4)
        return {
            PASSES: {
                **dict(zip(_COUNTS, counts.T, strict=True)),
                **dict(zip(_TIMES, times.T, strict=True)),
                "given": given,
            },
            FILL: dict(zip(_FILLS, fill.T, strict=True)),
        }

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        if PASSES in tables:
            passes = tables[PASSES]
            self._counts = np.stack([passes[name] for name in _COUNTS], axis=1).tolist()
            self._times = np.stack([passes[name] for name in _TIMES], axis=1).tolist()
            self._given = [np.array(row, np.int64) for row in passes["given"]]
        if FILL in tables:
            columns = tables[FILL]
            self._fill = list(zip(*(columns[name].tolist() for name in _FILLS), strict=True))
