"""Rows that others sent: a memory per task, of the capacity that the exchange asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidcl.experiment.units import Capacity
from mpidcl.memory.grouped import Memory, Rows

Floats = npt.NDArray[np.float32]


class Received:
    """Received rows by task. `make(capacity, purpose)` makes an empty memory with its generator."""

    def __init__(self, make: Callable[[Capacity, str], Memory]) -> None:
        self._make = make
        self._memory = make(Capacity(0, "rows", "task"), "received")

    def set_capacity(self, rows_per_task: int) -> None:
        """At least `rows_per_task` rows for each task. Raises ValueError once rows have come."""
        if rows_per_task <= self._memory.capacity.count:
            return
        if len(self._memory):
            raise ValueError("The capacity for received rows should be set before rows come. Found rows.")
        self._memory = self._make(Capacity(rows_per_task, "rows", "task"), "received")

    def push(
        self, task: int, head: int, y: npt.NDArray[np.int64], columns: Mapping[str, npt.NDArray[Any]]
    ) -> int:
        """Offer rows; returns how many were taken."""
        return self._memory.push(task, head, y, columns)

    def rows(self) -> Rows:
        """Copies of all received rows."""
        return self._memory.rows()

    def of_task(self, task: int) -> Rows:
        """Copies of the received rows of one task."""
        return self._memory.task_rows(task)

    def state(self) -> dict[str, Any]:
        return {"capacity": self._memory.capacity.count, "memory": self._memory.state()}

    def load(self, state: dict[str, Any]) -> None:
        self._memory = self._make(Capacity(int(state["capacity"]), "rows", "task"), "received")
        self._memory.load(state["memory"])


def marks(groups: Iterable[Floats]) -> set[bytes]:
    """A hash of each row of groups [n, ...]: rows of the same bytes have the same one."""
    return {_mark(row) for rows in groups for row in rows}


def positions_of_others(x: Floats, known: set[bytes], repeated: bool) -> npt.NDArray[np.int64]:
    """Positions of rows of x [n, ...] that are not `known`; the first of equal ones, if `repeated` all."""
    seen = set(known)
    found: list[int] = []
    for position, mark in enumerate(_mark(row) for row in x):
        if mark not in seen:
            found.append(position)
            if not repeated:
                seen.add(mark)
    return np.array(found, dtype=np.int64)


def _mark(row: Floats) -> bytes:
    return hashlib.sha256(np.asarray(row, dtype=np.float32).tobytes()).digest()
