"""The memory of one agent: one buffer per task, per class, or for all, as the capacity says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mpidcl.base.state import State
from mpidcl.experiment.units import Capacity
from mpidcl.memory.buffer import Buffer, Column, Features, check_room, row_type
from mpidcl.memory.by_class import ByClass
from mpidcl.memory.policies import Policy
from mpidcl.randomness import generator_state, load_generator_state
from mpidcl_kernels.base.types import View
from mpidcl_kernels.gather import gather_rows

GROUPING = (Column("task", "int64"), Column("head", "int64"))
LABEL = Column("y", "int64")
"""What rows mean, unless the memory is told otherwise. These come before the columns it is asked for."""

Rows = dict[str, View]
Chosen = slice | npt.NDArray[np.intp]


class Memory:
    """Rows of several tasks under one capacity.

    "32 rows per task": one buffer of 32 for each task. "5 rows per class": one of 5 for each class, which
    is a label of a head (two tasks that share a head share its classes). "500 rows" and "1 GiB": one buffer
    for everything. "10 %": a buffer for each task, of that share of the rows first offered for it.
    """

    def __init__(
        self,
        capacity: Capacity,
        columns: Sequence[Column],
        policy: Policy,
        rng: np.random.Generator,
        y: Column = LABEL,
    ) -> None:
        self.capacity, self.policy, self.rng = capacity, policy, rng
        self.columns = (*GROUPING, y, *columns)
        self._has_classes = y == LABEL
        row_bytes = row_type(self.columns).itemsize
        check_room(capacity.rows(row_bytes, 0), row_bytes)  # now, and not when the first rows come
        self._buffers: dict[str, Buffer] = {}
        self.version = 0
        """Counts the changes of its rows."""

    def push(self, task: int, head: int, y: View, columns: Mapping[str, View]) -> int:
        """Offer rows of `task` with y [n, ...] (labels of `head`), in order. Returns how many were taken."""
        self.version += 1
        return sum(
            buffer.push(rows, class_numbers if self._has_classes else None)
            for buffer, rows in self._offered(task, head, y, columns)
        )

    def select(self, task: int, head: int, y: View, columns: Mapping[str, View], features: Features) -> None:
        """Of rows of `task`, which has ended, and those held, keep what the policy chooses, class by class.

        `features(rows)` gives their encodings [n, width]. Raises ExperimentError where there is not one row
        of room for each class.
        """
        self.version += 1
        for buffer, rows in self._offered(task, head, y, columns):
            buffer.select(rows, class_numbers, features)

    def _offered(
        self, task: int, head: int, y: View, columns: Mapping[str, View]
    ) -> Iterator[tuple[Buffer, Rows]]:
        """Each buffer concerned, with the rows that it is offered."""
        for key, chosen in self._groups(task, head, y):
            count = len(y[chosen])
            rows = {name: _take(values, chosen) for name, values in columns.items()}
            rows |= {"task": np.full(count, task), "head": np.full(count, head), "y": y[chosen]}
            yield self._buffer(key, count), rows

    def offer(self, task: int, head: int, y: View, give: Callable[[npt.NDArray[np.int64]], Rows]) -> int:
        """`push` where only the rows that stay are made: `give(kept)` gives the columns of rows `kept [m]`.

        What few rows of a batch survive is known from the policy alone, before anything is copied.
        """
        taken = 0
        self.version += 1
        for key, chosen in self._groups(task, head, y):
            labels = y[chosen]

            def made(kept: npt.NDArray[np.int64], chosen: Chosen = chosen, labels: View = labels) -> Rows:
                mine = kept if isinstance(chosen, slice) else chosen[kept]
                basic = {"task": np.full(len(kept), task), "head": np.full(len(kept), head)}
                return {**give(mine), **basic, "y": labels[kept]}

            own = labels + (head << 32) if self._has_classes else None
            classes = class_numbers if self._has_classes else None
            taken += self._buffer(key, len(labels)).offer(len(labels), own, classes, made)
        return taken

    def _groups(self, task: int, head: int, y: View) -> Iterator[tuple[str, Chosen]]:
        """Key of each buffer concerned, and which of the offered rows go there."""
        if self.capacity.per == "class":
            yield from ((f"{head}.{label}", np.flatnonzero(y == label)) for label in np.unique(y))
        elif self.capacity.per == "task" or self.capacity.unit == "percent":
            yield str(task), slice(None)
        else:
            yield "all", slice(None)

    def _buffer(self, key: str, offered: int) -> Buffer:
        if key not in self._buffers:
            rows = self.capacity.rows(row_type(self.columns).itemsize, offered)
            self._buffers[key] = self._empty(rows)
        return self._buffers[key]

    def _empty(self, rows: int) -> Buffer:
        return Buffer(self.columns, rows, self.policy, self.rng)

    def rows(self, keep: Callable[[int], bool] = lambda task: True) -> Rows:
        """Copies of all rows whose task satisfies `keep(task)`, in order of buffer, then slot."""
        chosen = [_of_tasks(buffer.column("task"), keep) for buffer in self._buffers.values()]
        return {column.name: self._column(column, chosen) for column in self.columns}

    def _column(self, column: Column, chosen: Sequence[npt.NDArray[np.int64]]) -> View:
        """Rows `chosen` of each buffer in one array."""
        rows = np.empty((sum(map(len, chosen)), *column.shape), column.dtype)
        first = 0
        for buffer, index in zip(self._buffers.values(), chosen, strict=True):
            gather_rows(buffer.column(column.name), index, rows[first : first + len(index)])
            first += len(index)
        return rows

    def take(self, positions: npt.NDArray[np.int64], names: Sequence[str]) -> Rows:
        """Copies of the columns `names` at `positions [m]`, counted in the order of `rows()`."""
        buffers = list(self._buffers.values())
        if len(buffers) == 1:
            return {name: gather_rows(buffers[0].column(name), positions) for name in names}
        starts = np.cumsum([0, *map(len, buffers)])
        owner = np.searchsorted(starts, positions, side="right") - 1
        found = {
            c.name: np.empty((len(positions), *c.shape), c.dtype) for c in self.columns if c.name in names
        }
        for number in np.unique(owner).tolist():
            mine = np.flatnonzero(owner == number)
            for name, values in found.items():
                values[mine] = gather_rows(buffers[number].column(name), positions[mine] - starts[number])
        return found

    def lengths(self) -> list[int]:
        """Rows in each buffer, in their order."""
        return [len(buffer) for buffer in self._buffers.values()]

    def pack(
        self, positions: npt.NDArray[np.int64], lengths: Sequence[int], out: npt.NDArray[np.void]
    ) -> None:
        """Copy rows at `positions [m]` to the records `out [m]`, the columns that these have.

        Positions are counted in the order of `rows()` as it was when `lengths` told of the buffers: a slot
        that had a row then has one now.
        """
        buffers = [*self._buffers.values()]
        starts = np.cumsum([0, *lengths])
        owner = np.searchsorted(starts, positions, side="right") - 1
        for number in np.unique(owner).tolist():
            mine = np.flatnonzero(owner == number)
            for name in out.dtype.names or ():
                out[name][mine] = gather_rows(buffers[number].column(name), positions[mine] - starts[number])

    @property
    def only(self) -> Buffer | None:
        """The buffer that holds all rows; None where there are several, or none yet."""
        return next(iter(self._buffers.values())) if len(self._buffers) == 1 else None

    def task_rows(self, task: int) -> Rows:
        """Copies of all rows of one task."""
        return self.rows(lambda found: found == task)

    def __len__(self) -> int:
        return sum(len(buffer) for buffer in self._buffers.values())

    def labels(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Head and label [n] of all rows, in order of `rows()`; label -1 where y is no label."""
        heads = [buffer.column("head") for buffer in self._buffers.values()]
        found = np.concatenate([np.empty(0, np.int64), *heads])
        if not self._has_classes:
            return found, np.full_like(found, -1)
        y = [buffer.column("y") for buffer in self._buffers.values()]
        return found, np.concatenate([np.empty(0, np.int64), *y])

    def by_class(self, labels_per_head: int, classes: int) -> ByClass:
        """Where the rows of each of `classes` classes lie: class c is label c % labels_per_head of a head."""
        heads, labels = self.labels()
        return ByClass(heads * labels_per_head + labels, classes)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that it holds, with all their columns."""
        return len(self) * row_type(self.columns).itemsize

    @property
    def most(self) -> int | None:
        """Rows that fit; None where that depends on how many tasks, classes or rows will come."""
        if self.capacity.per is not None or self.capacity.unit == "percent":
            return None
        return self.capacity.rows(row_type(self.columns).itemsize, 0)

    def state(self) -> State:
        """All buffers in their order, and the generator."""
        return {
            "order": list(self._buffers),
            "buffers": {key: buffer.state() for key, buffer in self._buffers.items()},
            "rng": generator_state(self.rng),
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._buffers = {}
        self.version += 1
        for key in state["order"]:
            saved = state["buffers"][key]
            self._buffers[key] = self._empty(int(saved["capacity"]))
            self._buffers[key].load(saved)
        load_generator_state(self.rng, state["rng"])


def class_numbers(rows: Mapping[str, View]) -> npt.NDArray[np.int64]:
    """A number [n] for the class of each row: a label of a head."""
    numbers: npt.NDArray[np.int64] = (rows["head"] << 32) + rows["y"]
    return numbers


def _take(values: View, chosen: Chosen) -> View:
    """A slice of the rows, or copies of those at the positions `chosen`."""
    return values[chosen] if isinstance(chosen, slice) else gather_rows(values, chosen)


def _of_tasks(tasks: npt.NDArray[np.int64], keep: Callable[[int], bool]) -> npt.NDArray[np.int64]:
    """Positions in `tasks [n]` of the tasks that `keep(task)` wants."""
    different, which = np.unique(tasks, return_inverse=True)
    wanted = np.array([keep(task) for task in different.tolist()], dtype=bool)
    return np.flatnonzero(wanted[which])
