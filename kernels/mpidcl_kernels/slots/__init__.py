"""Which slot of a replay buffer takes a new row, if any. The slots are what `gather.insert_rows` writes to.

Every rule with chance draws one number of `rng.random` per offered row, whatever becomes of the row: a stream
in batches of any size gives the same slots. Rows whose slot is REFUSED are not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Index
from mpidcl_kernels.slots import loops

Draws = npt.NDArray[np.float64]

REFUSED = loops.REFUSED
"""The slot of a row that is not kept."""


# --- definitions: draws u [m], uniform in [0, 1) ----------------------------------------------------


def reservoir_definition(u: Draws, seen: int, capacity: int) -> Index:
    """Algorithm R of Vitter 1985: the k-th row takes one of k places, and is kept if that is a slot."""
    slots = []
    for number, draw in enumerate(u, start=seen):
        place = number if number < capacity else int(draw * (number + 1))
        slots.append(place if place < capacity else REFUSED)
    return np.array(slots, dtype=np.int64)


def candidate_definition(
    u: Draws, classes: Index, held: Index, per_class: int, accept: float
) -> tuple[Index, Index]:
    """The rule of Bouvier et al. 2024 (arXiv 2406.03285), with class k in slots k N ... k N + N - 1.

    A class that is not full appends; a full one accepts a row with probability `accept`, in a random slot of
    its own. Returns (slots [m], held [K] afterwards).
    """
    slots, held = [], held.copy()
    for draw, own in zip(u, classes, strict=True):
        if held[own] < per_class:
            place = held[own]
            held[own] += 1
        elif draw < accept and per_class:
            place = min(int(draw * (per_class / accept)), per_class - 1)  # uniform again, given draw < accept
        else:
            place = None
        slots.append(REFUSED if place is None else own * per_class + place)
    return np.array(slots, dtype=np.int64), held


def last_of_each_definition(slots: Index) -> Index:
    """Positions of the last entry for each slot, in order, refused entries left out."""
    last = {int(slot): position for position, slot in enumerate(slots) if slot != REFUSED}
    return np.array(sorted(last.values()), dtype=np.int64)


# --- public functions -------------------------------------------------------------------------------


def fifo_slots(count: int, seen: int, capacity: int) -> Index:
    """Slots [count] of a ring: every row overwrites the oldest. `seen` rows came before.

    >>> fifo_slots(4, seen=4, capacity=6).tolist()
    [4, 5, 0, 1]
    """
    _check_counts(count, seen, capacity)
    if capacity == 0:
        return np.full(count, REFUSED)
    first = seen % capacity
    slots = np.arange(first, first + count)
    return slots if first + count <= capacity else slots % capacity


def reservoir_slots(count: int, seen: int, capacity: int, rng: np.random.Generator) -> Index:
    """Slots [count] of a reservoir: each of the k rows offered so far is kept with probability capacity / k.

    `seen` rows came before. Raises ValueError for negative counts.
    """
    _check_counts(count, seen, capacity)
    slots = np.empty(count, np.int64)
    loops.reservoir(rng.random(count), seen, capacity, slots)
    return slots


def candidate_slots(
    classes: Index, held: Index, per_class: int, accept: float, rng: np.random.Generator
) -> Index:
    """Slots [m] for rows of `classes [m]`, where class k owns the N = `per_class` slots from k N on.

    A class that is not full appends. A full one accepts a row with probability `accept` (c / b: c candidates
    of a batch of b rows) and overwrites a random slot of its own. `held [K]` counts the slots in use per
    class and is updated. A kept row survives m further arrivals of its class with probability
    (1 - accept / N)^m: this is no reservoir. Raises ValueError for classes outside 0..K-1 and for an `accept`
    that is no probability.
    """
    if not 0 <= accept <= 1:
        raise bad("accept", "between 0 and 1", accept)
    if per_class < 0:
        raise bad("per_class", "at least 0", per_class)
    if held.dtype != np.int64 or held.ndim != 1 or not held.flags.writeable:
        raise bad_type("held", "a vector of int64 that can be written", f"{held.dtype} {list(held.shape)}")
    classes = _as_classes(classes)
    slots = np.empty(classes.size, np.int64)
    if not loops.candidate(rng.random(classes.size), classes, held, per_class, accept, slots):
        _check_range("classes", classes, len(held) - 1)
        _check_range("held", held, per_class)
    return slots


@dataclass
class ClassTable:
    """Which slots each class holds: what `class_balanced_slots` remembers. Arrays, so that it can be saved.

    `order [capacity]` lists the slots class by class: those of class k are order[starts[k] : starts[k + 1]],
    and those after starts[-1] are free. `seen [K]` counts offered rows, `full [K]` marks classes that have
    been the largest of a full store. Raises ValueError for arrays that do not fit together.
    """

    capacity: int
    order: Index = field(default_factory=lambda: np.empty(0, np.int64))
    starts: Index = field(default_factory=lambda: np.zeros(1, np.int64))
    seen: Index = field(default_factory=lambda: np.empty(0, np.int64))
    full: Index = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if self.capacity < 0:
            raise bad("capacity", "at least 0 rows", self.capacity)
        if not self.order.size:
            self.order = np.arange(self.capacity)
        for name in ("order", "starts", "seen", "full"):
            setattr(self, name, np.array(getattr(self, name), np.int64))  # of its own: it will be changed
        self._check()

    def _check(self) -> None:
        # The compiled loop follows these numbers unchecked.
        if sorted(self.order.tolist()) != list(range(self.capacity)):
            raise bad("order", f"each of the {self.capacity} slots once", self.order)
        if self.starts[0] != 0 or (np.diff(self.starts) < 0).any() or self.starts[-1] > self.capacity:
            raise bad("starts", f"increasing from 0 to at most {self.capacity}", self.starts)
        if not self.starts.size - 1 == self.seen.size == self.full.size:
            raise bad("seen", f"a number for each of {self.starts.size - 1} classes", self.seen)
        if (self.seen < self.sizes).any():
            raise bad("seen", "at least the slots that each class holds", self.seen)

    @property
    def sizes(self) -> Index:
        """Slots held by each class, [K]."""
        return np.diff(self.starts)

    def state(self) -> dict[str, int | Index]:
        """Copies of all of it: `ClassTable(**state)` goes on as this one would."""
        return {f.name: np.copy(getattr(self, f.name))[()] for f in fields(self)}

    def make_room_for(self, classes: int) -> None:
        """Know classes 0..classes-1."""
        new = classes - self.seen.size
        if new > 0:
            self.starts = np.append(self.starts, np.repeat(self.starts[-1:], new))
            self.seen, self.full = (np.append(a, np.zeros(new, np.int64)) for a in (self.seen, self.full))


def class_balanced_slots(classes: Index, table: ClassTable, rng: np.random.Generator) -> Index:
    """Slots [m] that split the capacity over the classes seen so far, however many rows each of them offers.

    Once the store is full, a row of a class that was never the largest takes a random slot of the largest
    class; within a class that was, each row is kept as in a reservoir. Classes are numbers from 0; new ones
    may come at any time. `table` is updated. Source: Chrysakis and Moens 2020, algorithm 1 (CBRS). A row
    costs up to O(K) steps. Raises ValueError for negative classes.

    >>> table, rng = ClassTable(6), np.random.default_rng(0)
    >>> for label in (0, 1, 2):
    ...     _ = class_balanced_slots(np.full(50, label), table, rng)
    ...     print(table.sizes.tolist())
    [6]
    [3, 3]
    [2, 2, 2]
    """
    classes = _as_classes(classes)
    u, slots = rng.random(classes.size), np.empty(classes.size, np.int64)
    if not _balanced(u, classes, table, slots):
        _check_range("classes", classes)
        table.make_room_for(int(classes.max()) + 1)
        _balanced(u, classes, table, slots)
    return slots


def _balanced(u: Draws, classes: Index, table: ClassTable, slots: Index) -> bool:
    known: bool = loops.balanced(u, classes, table.order, table.starts, table.seen, table.full, slots)
    return known


def last_of_each(slots: Index) -> Index:
    """Positions of the last entry for each slot, in order, refused entries left out: the rows that stay.

    >>> last_of_each(np.array([3, REFUSED, 1, 3])).tolist()
    [2, 3]
    """
    kept = np.empty(slots.size, np.int64)
    bits = max(slots.size * 2 - 1, 1).bit_length()
    return kept[loops.last_of_each(slots, np.full(1 << bits, REFUSED), 64 - bits, kept) :]


def first_of_each(numbers: Index, table: Index, base: int, count: int) -> tuple[Index, Index]:
    """Places [m] of numbers in a list without repeats, and which of them are new to it [k], at its end.

    The list has `count` numbers so far. `table [n]` is base + its place for each number 0..n-1 of the list,
    less than `base` for the others, and updated: a larger `base` begins a new list without writing to it.
    Raises ValueError for numbers outside the table.

    >>> table = np.full(9, -1)
    >>> for numbers, count in (([7, 2, 7], 0), ([2, 5], 2)):
    ...     places, new = first_of_each(np.array(numbers), table, 0, count)
    ...     print(places.tolist(), new.tolist())
    [0, 1, 0] [0, 1]
    [1, 2] [1]
    """
    places, new = np.empty(numbers.size, np.int64), np.empty(numbers.size, np.int64)
    found = loops.first_of_each(numbers, table, base, count, places, new)
    if found < 0:
        _check_range("numbers", numbers, table.size - 1)
    return places, new[:found]


def warm() -> None:
    """Compile every loop, or load it from the cache."""
    rng, one = np.random.default_rng(0), np.zeros(1, np.int64)
    last_of_each(reservoir_slots(1, 0, 1, rng))
    first_of_each(one, one.copy(), 0, 0)
    candidate_slots(one, one.copy(), 1, 1.0, rng)
    class_balanced_slots(one, ClassTable(1), rng)


def _check_counts(count: int, seen: int, capacity: int) -> None:
    for name, value in (("count", count), ("seen", seen), ("capacity", capacity)):
        if value < 0:
            raise bad(name, "at least 0", value)


def _as_classes(classes: object) -> Index:
    """Classes [m] as the loops take them."""
    if not isinstance(classes, np.ndarray) or classes.dtype.kind not in "iu" or classes.ndim != 1:
        found = classes.dtype if isinstance(classes, np.ndarray) and classes.ndim == 1 else type(classes)
        raise bad_type("classes", "a vector of integers in a NumPy array", found)
    if classes.dtype.kind == "u":
        classes = np.minimum(classes, np.iinfo(np.int64).max)
    return np.ascontiguousarray(classes, np.int64)


def _check_range(name: str, numbers: Index, top: float = np.inf) -> None:
    wrong = numbers[(numbers < 0) | (numbers > top)]
    if wrong.size:
        raise bad(name, "at least 0" if top == np.inf else f"between 0 and {top}", wrong[0])
