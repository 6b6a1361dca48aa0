"""What one agent holds of a shared replay buffer: rows with declared columns, by class where one asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.state import State, state_of
from mpidcl.errors import ExperimentError, ReplayError
from mpidcl.memory.balanced import ClassBalanced
from mpidcl.memory.buffer import Column, Storage, check_room
from mpidcl.memory.by_class import ByClass
from mpidcl.memory.policies import REFUSED, Offered, Policy
from mpidcl.memory.replay.settings import Settings
from mpidcl.memory.rooms import slots_of_all, together
from mpidcl.randomness import generator_state, load_generator_state, numpy_generator
from mpidcl_kernels.base.types import View

Indices = NDArray[np.int64]
Records = NDArray[np.void]
"""Rows as records: all columns of one row lie together, and its `sequence`, by which it is known."""


class Share:
    """The rooms of one agent, one for each class or one for all rows, in one block of memory.

    Rows of a room fill its slots from the first on; later the policy decides.
    """

    def __init__(self, settings: Settings, agents: int, agent: int) -> None:
        _check_fits(settings, agents)
        self.settings, self.rooms = settings, np.array(settings.rooms(agents, agent), np.int64)
        self._declared = {c.name: (np.dtype(c.dtype), c.shape) for c in settings.columns}
        self._first = np.concatenate([[0], np.cumsum(self.rooms)])
        self.storage = Storage(settings.columns, int(self._first[-1]))
        policy = settings.make_policy()
        self.policies: list[Policy] = [policy.for_buffer() for _ in self.rooms]
        self.rng = numpy_generator(settings.seed, agent, "replay insert")
        self.seen = np.zeros(len(self.rooms), np.int64)
        self.arrived = 0
        """Rows offered so far; `sequence` of a row is what it was before it."""

    def __len__(self) -> int:
        if len(self.rooms) == 1:
            return min(int(self.seen[0]), int(self.rooms[0]))
        return int(self.held.sum())

    @property
    def held(self) -> Indices:
        """Rows [rooms] in each room."""
        return np.minimum(self.seen, self.rooms)

    @property
    def records(self) -> Records:
        """View [slots] of all slots."""
        return self.storage.records

    def sizes(self) -> Indices:
        """Rows [classes] of each class that is counted apart."""
        if len(self.rooms) == self.settings.counted:
            return self.held
        policy = self.policies[0]
        if isinstance(policy, ClassBalanced):
            return policy.sizes(self.settings.counted)
        return np.bincount(self._labels_of(0), minlength=self.settings.counted)

    def slots(self, classes: Indices, numbers: Indices) -> Indices:
        """Slots [n] of rows that are named by class and number in it; by number alone in a draw from all."""
        if self.settings.balanced and len(self.rooms) != self.settings.counted:
            return self._by_class(classes, numbers)
        return self._first[classes] + numbers if self.settings.balanced else self.slots_of_all(numbers)

    def slots_of_all(self, numbers: Indices) -> Indices:
        """Slots [n] of rows that are named by their number among all of them."""
        if len(self.rooms) == 1:
            return numbers
        held = self.held
        ends = np.cumsum(held)
        room = np.searchsorted(ends, numbers, side="right")
        return (self._first[:-1] - ends + held)[room] + numbers

    def _by_class(self, classes: Indices, numbers: Indices) -> Indices:
        policy = self.policies[0]
        if isinstance(policy, ClassBalanced):
            return policy.slots_at(classes, numbers)
        return ByClass(self._labels_of(0), self.settings.counted).positions(classes, numbers)

    def used(self) -> Indices | slice:
        """The slots that hold rows, in order: a slice where no free one lies between them."""
        held = self.held
        if (held[:-1] == self.rooms[:-1]).all():
            return slice(0, int(held.sum()))
        return np.concatenate(
            [np.arange(a, a + n) for a, n in zip(self._first.tolist(), held.tolist(), strict=False)]
        )

    def gather(self, slots: Indices, out: Records) -> None:
        """Copy rows to `out [n]`."""
        self.storage.gather(slots, out)

    def check(self, rows: Mapping[str, View]) -> dict[str, View]:
        """Rows as arrays of the declared types. Raises ReplayError, for the first column that is wrong."""
        found = dict(rows) if self._as_declared(rows) else check_columns(self.settings.columns, rows, "Rows")
        self._check_labels(found)
        return found

    def _as_declared(self, rows: Mapping[str, View]) -> bool:
        """Whether nothing has to be converted or said: so it is at nearly every step."""
        if rows.keys() != self._declared.keys():
            return False
        given = ((values.dtype, values.shape[1:]) for values in rows.values())
        return (
            all(one == self._declared[name] for name, one in zip(rows, given, strict=True))
            and len({len(values) for values in rows.values()}) == 1
        )

    def _check_labels(self, rows: Mapping[str, View]) -> None:
        label, classes = self.settings.label, self.settings.classes
        if label is None or classes is None or not len(rows[label]):
            return
        low, high = int(rows[label].min()), int(rows[label].max())
        if low < 0 or high >= classes:
            raise ReplayError(
                f"Column `{label}` should hold class numbers between 0 and {classes - 1}: {classes} classes"
                f" were declared. Found {low if low < 0 else high}."
            )

    def insert(self, rows: Mapping[str, View]) -> None:
        """Offer rows that were checked, in order."""
        count = len(rows[self.settings.columns[0].name])
        if not count:
            return
        label = self.settings.label
        labels = None if label is None else rows[label].astype(np.int64, copy=False)
        if len(self.rooms) == 1:
            slots = self._place(0, count, labels)
        else:
            assert labels is not None
            placed = self._place_all(labels)
            slots = np.where(placed == REFUSED, REFUSED, placed + self._first[labels])
        self.storage.put(slots, self.arrived, rows)
        self.arrived += count

    def _place_all(self, labels: Indices) -> Indices:
        """Slots [n] of rows in the rooms of their classes."""
        if together(self.policies[0]):
            return slots_of_all(self.policies[0], labels, self.seen, self.rooms, self.rng)
        slots = np.empty(len(labels), np.int64)
        for one in np.unique(labels).tolist():
            mine = np.flatnonzero(labels == one)
            slots[mine] = self._place(one, len(mine), labels[mine])
        return slots

    def _place(self, room: int, count: int, labels: Indices | None) -> Indices:
        seen, capacity = int(self.seen[room]), int(self.rooms[room])
        held = partial(self._labels_of, room) if labels is not None else _unknown
        offered = Offered(count, seen, capacity, labels, held)
        self.seen[room] += count
        return self.policies[room].place(offered, self.rng)

    def _labels_of(self, room: int) -> Indices:
        """Labels of the rows in a room, in order of slot."""
        assert self.settings.label is not None
        first = int(self._first[room])
        column = self.storage[self.settings.label][first : first + int(self.held[room])]
        return column.astype(np.int64)

    # --- checkpoint -------------------------------------------------------------------------------

    def state(self) -> State:
        """All rows and counts, and the generator."""
        return {**self.state_without_rows(), "columns": self.storage.state(self.used())}

    def state_without_rows(self) -> State:
        """The same without the columns."""
        return {
            "seen": self.seen.copy(),
            "held": self.held,
            "arrived": self.arrived,
            "policies": {str(room): state_of(policy) for room, policy in enumerate(self.policies)},
            "rng": generator_state(self.rng),
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned, or `state_without_rows`."""
        self.seen = np.array(state["seen"], np.int64)
        self.arrived = int(state["arrived"])
        if "columns" in state:
            self.storage.load(self.used(), state["columns"])
        for room, policy in enumerate(self.policies):
            policy.load(state["policies"][str(room)])
        load_generator_state(self.rng, state["rng"])


def _check_fits(settings: Settings, agents: int) -> None:
    """Before anything is made of it. Raises ReplayError for rows that this machine has no memory for."""
    try:
        check_room(-(-settings.total(agents) // agents), settings.row_bytes, "`capacity` on a rank")
        check_room(sum(settings.draws), settings.row_bytes, "`draw`")
    except ExperimentError as error:
        raise ReplayError(str(error)) from None


def _unknown() -> None:
    """The classes of rows that have none."""


def check_columns(declared: Sequence[Column], rows: Mapping[str, View], what: str) -> dict[str, View]:
    """Rows as arrays of the declared types. Raises ReplayError, for the first column that is wrong."""
    if set(rows) != {column.name for column in declared}:
        names = ", ".join(column.name for column in declared)
        raise ReplayError(f"{what} should have the columns {names}. Found {', '.join(map(str, rows))}.")
    found = {}
    for column in declared:
        values, dtype = rows[column.name], np.dtype(column.dtype)
        if not np.can_cast(values.dtype, dtype, "safe") or values.shape[1:] != column.shape:
            lossy = values.dtype.kind in "biuf" and values.shape[1:] == column.shape
            fix = f" Convert them to {dtype}, or declare `{column.name}` as {values.dtype}." if lossy else ""
            raise ReplayError(
                f"Column `{column.name}` should have rows of {dtype} {list(column.shape)}."
                f" Found {values.dtype} {list(values.shape[1:])}.{fix}"
            )
        found[column.name] = values.astype(dtype, copy=False)
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise ReplayError(f"All columns should have as many rows. Found {told}.")
    return found
