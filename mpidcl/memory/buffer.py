"""A buffer of fixed-size rows with declared columns, in one block of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mpidcl.base.machine import memory_bytes
from mpidcl.base.quantities import bytes_text
from mpidcl.base.state import State, state_of
from mpidcl.errors import ExperimentError
from mpidcl.memory.policies import REFUSED, Offered, Policy
from mpidcl_kernels.base.types import View
from mpidcl_kernels.gather import gather_rows, insert_rows
from mpidcl_kernels.slots import last_of_each

SEQUENCE = "sequence"
NONE = np.empty(0, np.int64)
PACKED = 1024
"""Bytes of the longest rows that are put together before they are written: a cold slot is then visited once,
and not once for each column. Of longer rows the second copy would cost more."""
Classes = Callable[[Mapping[str, View]], npt.NDArray[np.int64]]
"""Class numbers [n] of rows, from their columns."""
Features = Callable[[Mapping[str, View]], npt.NDArray[np.float32]]
"""Encodings [n, width] of rows, from their columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """One declared column: its dtype, and its shape per row."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()


def row_type(columns: Sequence[Column]) -> np.dtype[np.void]:
    """Type of one row, padded so that rows and 8-byte columns stay aligned; holds a uint64 `sequence` too.

    Raises ValueError for two columns of one name.
    """
    names = [SEQUENCE, *(column.name for column in columns)]
    if len(set(names)) != len(names):
        raise ValueError(
            f"Columns should have different names, none `{SEQUENCE}`. Found {', '.join(names[1:])}."
        )
    fields = [(SEQUENCE, np.uint64), *((c.name, c.dtype, c.shape) for c in columns)]
    return np.dtype(fields, align=True)


def check_room(rows: int, row_bytes: int, what: str = "[memory] capacity") -> None:
    """Raises ExperimentError when a memory of so many rows could not even be reserved on this machine."""
    if rows * row_bytes > memory_bytes():
        raise ExperimentError(
            f"{what} should be at most {memory_bytes() // row_bytes:,} rows of {row_bytes:,}"
            f" bytes: this machine has {bytes_text(memory_bytes())}. Found {rows:,} rows, which would need"
            f" {bytes_text(rows * row_bytes)}. Lower it."
        )


def bytes_of(records: npt.NDArray[np.void]) -> npt.NDArray[np.uint8]:
    """View [n, row bytes] of records [n] that lie together: kernels take it with fewer questions."""
    return records.view(np.uint8).reshape(len(records), records.itemsize)


class Storage:
    """Room for `capacity` rows with declared columns, in slots; who gets which slot is decided elsewhere.

    `block` may be given: memory of at least capacity * row bytes (a shared window, say); else it is
    allocated, and touched only as rows come.
    """

    def __init__(
        self, columns: Sequence[Column], capacity: int, block: npt.NDArray[np.uint8] | None = None
    ) -> None:
        if capacity < 0:
            raise ValueError(f"`capacity` should be at least 0 rows. Found {capacity}.")
        self.type, self.capacity = row_type(columns), capacity
        self.names = tuple(column.name for column in columns)
        if block is None:
            check_room(capacity, self.type.itemsize)
            block = np.zeros(capacity * self.type.itemsize, dtype=np.uint8)
        room = block[: capacity * self.type.itemsize]
        self._rows, self._bytes = room.view(self.type), room.reshape(capacity, self.type.itemsize)
        self._packed = self._rows[:0]

    def __getitem__(self, name: str) -> View:
        """View [capacity, *shape] of one column in all slots; rows are strided by the row size."""
        return self._rows[name]

    @property
    def records(self) -> npt.NDArray[np.void]:
        """View [capacity] of all slots: whole rows, `sequence` included."""
        return self._rows

    def put(self, slots: npt.NDArray[np.int64], seen: int, rows: Mapping[str, View]) -> None:
        """Write rows, one array [n, *shape] per column, that arrive after `seen` others, to slots [n]."""
        arrival = np.arange(seen, seen + len(slots), dtype=np.uint64)
        if self.type.itemsize > PACKED:
            for name, values in ((SEQUENCE, arrival), *rows.items()):
                self.put_column(name, slots, values)
            return
        if len(self._packed) < len(slots):
            self._packed = np.zeros(len(slots), self.type)
        packed = self._packed[: len(slots)]
        packed[SEQUENCE] = arrival
        for name, values in rows.items():
            packed[name] = values
        insert_rows(self._bytes, bytes_of(packed), slots)

    def gather(self, slots: npt.NDArray[np.int64], out: npt.NDArray[np.void]) -> None:
        """Copy whole rows to `out [n]`."""
        gather_rows(self._bytes, slots, bytes_of(out))

    def put_column(self, name: str, slots: npt.NDArray[np.int64], values: View) -> None:
        """Write one column [n, *shape] of the rows in slots [n], in order."""
        column = self._rows[name]
        insert_rows(column, np.asarray(values, column.dtype), slots)

    def put_few(self, slots: npt.NDArray[np.int64], arrival: View, rows: Mapping[str, View]) -> None:
        """Write rows to different slots [n]. For few rows NumPy is quicker than a compiled call."""
        for name, values in ((SEQUENCE, arrival), *rows.items()):
            self._rows[name][slots] = values

    def check(self, rows: Mapping[str, View]) -> int:
        """How many rows these are. Raises ValueError for other columns than the declared ones."""
        if set(rows) != set(self.names):
            raise ValueError(f"Columns should be {', '.join(self.names)}. Found {', '.join(rows)}.")
        lengths = {len(rows[name]) for name in self.names}
        if len(lengths) != 1:
            raise ValueError(f"Columns should have one length. Found {sorted(lengths)}.")
        for name in self.names:
            shape, declared = np.shape(rows[name])[1:], self._rows[name].shape[1:]
            if shape != declared:
                raise ValueError(f"Rows of column `{name}` should be {list(declared)}. Found {list(shape)}.")
        return lengths.pop()

    def state(self, slots: slice | npt.NDArray[np.int64]) -> dict[str, View]:
        """Copies of all columns in some slots, with the arrival of each row."""
        return {name: self._rows[name][slots].copy() for name in (SEQUENCE, *self.names)}

    def load(self, slots: slice | npt.NDArray[np.int64], columns: Mapping[str, View]) -> None:
        """Put back what `state` returned."""
        for name, values in columns.items():
            self._rows[name][slots] = values


class Buffer:
    """At most `capacity` rows; `policy` decides which row goes where, with draws from `rng`.

    `sequence` of a row counts the rows that were offered before it. `block`: see `Storage`.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        capacity: int,
        policy: Policy,
        rng: np.random.Generator,
        block: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        self._storage = Storage(columns, capacity, block)
        self.type, self.names, self.capacity = self._storage.type, self._storage.names, capacity
        self.policy, self.rng = policy.for_buffer(), rng
        self.seen = 0

    def __len__(self) -> int:
        return min(self.seen, self.capacity)

    def push(self, rows: Mapping[str, View], classes: Classes | None = None) -> int:
        """Offer rows, one array [n, *shape] per column, in order. Returns how many are in the buffer now.

        `classes` gives the class numbers of rows, for policies that look at them. Raises ValueError, before
        anything is written, when the columns are not the declared ones or differ in length.
        """
        count = self._storage.check(rows)
        slots = self._place(count, None if classes is None else classes(rows), classes)
        self._storage.put(slots, self.seen, rows)
        self.seen += count
        return len(last_of_each(slots))

    def offer(
        self,
        count: int,
        own: npt.NDArray[np.int64] | None,
        classes: Classes | None,
        give: Callable[[npt.NDArray[np.int64]], Mapping[str, View]],
    ) -> int:
        """`push` of `count` rows with class numbers `own [count]`, of which only those that stay are made.

        `give(kept)` makes the columns of the rows at positions `kept [m]` among those offered.
        """
        slots = self._place(count, own, classes)
        kept = last_of_each(slots) if count and int(slots.max()) != REFUSED else NONE
        if len(kept):
            rows = give(kept)
            self._storage.check(rows)
            self._storage.put_few(slots[kept], kept + self.seen, rows)
        self.seen += count
        return len(kept)

    def _place(
        self, count: int, own: npt.NDArray[np.int64] | None, classes: Classes | None
    ) -> npt.NDArray[np.int64]:
        held = partial(self._held, classes)
        return self.policy.place(Offered(count, self.seen, self.capacity, own, held), self.rng)

    def select(self, rows: Mapping[str, View], classes: Classes, features: Features) -> None:
        """Hold as many rows of each class, new or held: those that the policy chooses by `features(rows)`.

        Of a class that has no new rows the first ones stay. Raises ExperimentError, before anything is
        written, where there is not one row of room for each class.
        """
        self._storage.check(rows)
        held = {name: column.copy() for name, column in self.rows().items()}
        old, new = classes(held), classes(rows)
        known = list(dict.fromkeys([*old.tolist(), *new.tolist()]))
        if known and self.capacity < len(known):
            raise ExperimentError(
                f"[memory] capacity should have room for at least {len(known)} rows, one of each class so"
                f" far. Found room for {self.capacity}. Raise it."
            )
        parts = []
        for one in known:
            mine = {name: np.concatenate([held[name][old == one], rows[name][new == one]]) for name in held}
            quota = self.capacity // len(known)
            chosen = self.policy.choose(features(mine), quota) if (new == one).any() else slice(quota)
            parts.append({name: values[chosen] for name, values in mine.items()})
        self.seen = sum(len(part["y"]) for part in parts)
        for name in self.names:
            self._storage[name][: self.seen] = np.concatenate([part[name] for part in parts])

    def _held(self, classes: Classes | None) -> npt.NDArray[np.int64] | None:
        return None if classes is None else classes(self.rows())

    def column(self, name: str) -> View:
        """View [len(self), *shape] of one column; rows are strided by the row size."""
        return self._storage[name][: len(self)]

    def slots(self, name: str) -> View:
        """View [capacity, *shape] of one column, of slots without a row, too. It stays where it is."""
        return self._storage[name]

    def rows(self) -> dict[str, View]:
        """Views of all declared columns."""
        return {name: self.column(name) for name in self.names}

    def sample(self, count: int, rng: np.random.Generator) -> dict[str, View]:
        """Copies of min(count, len(self)) different rows, uniformly drawn, in random order.

        It takes as long however many rows there are. Columns are views of whole rows, as in the buffer.
        """
        chosen = rng.choice(len(self), min(count, len(self)), replace=False)
        rows = np.empty(len(chosen), self.type)
        self._storage.gather(chosen, rows)
        return {name: rows[name] for name in self.names}

    def state(self) -> State:
        """Rows, counts and capacity; the generator belongs to the caller."""
        counts = {"capacity": self.capacity, "seen": self.seen}
        columns = self._storage.state(slice(len(self)))
        return counts | {"columns": columns, "policy": state_of(self.policy)}

    def load(self, state: State) -> None:
        """Put back what `state` returned. Raises ValueError when the capacity differs."""
        if int(state["capacity"]) != self.capacity:
            raise ValueError(
                f"`capacity` should be {self.capacity} rows. Found {state['capacity']} in the state."
            )
        self.seen = int(state["seen"])
        self.policy.load(state["policy"])
        self._storage.load(slice(len(self)), state["columns"])
