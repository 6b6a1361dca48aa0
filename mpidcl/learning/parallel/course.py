"""The course of parallel tasks: when each was learned, by whom, how well it was known then and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mpidcl.record.tables import Table

COURSE = "course"
"""The table of it."""
MASKS = ("the mask of the mode", "the mask of all classes")
"""The columns of `first` and `final`."""


@dataclass(eq=False)
class ParallelCourse:
    """Timeline and accuracies of T parallel tasks, learned by one model.

    `starts`, `ends [T]`: first and last optimiser step of each task, both inclusive. `owners [T]`: the
    agent that computes its gradients. `first [T, 2]`: accuracy (0..1) on the task right after its last step;
    `final [T, 2]`: at the end of the run. Column 0 is measured under the mask of the mode (classes of the
    task, or classes of all tasks started by then), column 1 under the mask of all classes. NaN: not yet.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    owners: NDArray[np.int64]
    first: NDArray[np.float64]
    final: NDArray[np.float64]

    @classmethod
    def planned(cls, starts: Sequence[int], ends: Sequence[int], owners: Sequence[int]) -> ParallelCourse:
        """Before anything was learned."""
        begin, end, owner = np.array([starts, ends, owners], np.int64)
        first, final = np.full((2, len(starts), len(MASKS)), np.nan)
        return cls(begin, end, owner, first, final)

    @property
    def tasks(self) -> int:
        """T."""
        return len(self.starts)

    @property
    def model(self) -> int:
        """The lowest agent that owns a task: the same number for all agents that share one model."""
        return int(self.owners.min())

    @property
    def bounds(self) -> NDArray[np.int64]:
        """First step of each segment, and the number of steps; a segment is what lies between two ends."""
        found: NDArray[np.int64] = np.unique(np.append(self.ends + 1, 0))
        return found

    @property
    def one_question(self) -> bool:
        """Whether both masks are the same at the end, as where the classes of all tasks are told apart.

        Then what is measured under the mask of all classes repeats the rest. False before anything is known.
        """
        known = self.final[np.isfinite(self.final).all(axis=1)]
        return bool(len(known)) and bool(np.array_equal(known[:, 0], known[:, 1]))

    def step(self, time: float) -> float:
        """How many steps were done at a schedule time (segment + share of it that is done)."""
        bounds = self.bounds
        return float(np.interp(time, np.arange(len(bounds)), bounds))

    def table(self) -> Table:
        """A row per task (`record.tables`)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_table(cls, table: Table) -> ParallelCourse:
        """The course that `table` came from. Raises KeyError for a column that is missing."""
        starts, ends, owners = (np.array(table[name], np.int64) for name in ("starts", "ends", "owners"))
        first, final = (np.array(table[name], np.float64) for name in ("first", "final"))
        return cls(starts, ends, owners, first, final)
