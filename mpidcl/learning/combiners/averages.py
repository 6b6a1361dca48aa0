"""A running mean of one number per task."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpidcl.learning.combiners.base import Doubles


class Averages:
    """Exponential moving averages: m <- keep m + (1 - keep) value; the first value is taken as it is.

    A task keeps its average while it is away.
    """

    def __init__(self) -> None:
        self._of: dict[int, float] = {}

    def before(self, tasks: tuple[int, ...], first: Doubles) -> Doubles:
        """Averages [n] of `tasks` as they are; `first` [n] for those that have none."""
        return np.array([self._of.get(task, new) for task, new in zip(tasks, first.tolist(), strict=True)])

    def update(self, tasks: tuple[int, ...], values: Doubles, keep: float) -> Doubles:
        """Take `values` [n] in and return the new averages [n]."""
        new = keep * self.before(tasks, values) + (1 - keep) * values
        self._of.update(zip(tasks, new.tolist(), strict=True))
        return new

    def state(self) -> dict[str, Any]:
        """Tasks [k] and their averages [k]."""
        return {
            "tasks": np.array(list(self._of), dtype=np.int64),
            "values": np.array(list(self._of.values()), dtype=np.float64),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self._of = dict(zip(state["tasks"].tolist(), state["values"].tolist(), strict=True))
