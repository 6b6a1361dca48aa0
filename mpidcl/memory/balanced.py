"""The policy that gives every class an equal share of a memory, whatever each of them offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from mpidcl.base.state import State
from mpidcl.experiment.part import Use
from mpidcl.memory.policies import Offered, Policy
from mpidcl_kernels.slots import ClassTable, class_balanced_slots, reservoir_slots


class ClassBalanced(Policy):
    """Rows of the largest class make room for rows of others; within a class rows stay as in a reservoir.

    Chrysakis and Moens 2020, "Online continual learning from imbalanced data", algorithm 1 (CBRS). A class is
    a label of a head.
    """

    name: ClassVar[str] = "class-balanced"
    needs_classes = True

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Classes that have a room each."""
        if use.mine.memory.used and use.mine.memory.capacity.per == "class":
            yield (
                f'note: memory.policy = "{cls.name}" is a reservoir with memory.capacity ='
                f' "{use.mine.memory.capacity}", where each class has a room of its own.'
            )

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self._numbers: dict[int, int] = {}
        self._table: ClassTable | None = None

    def for_buffer(self) -> Policy:
        return type(self)(self.options)

    def place(self, offered: Offered, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        if offered.classes is None:
            raise ValueError("Rows should come with their classes, as those of a memory do. Found none.")
        if self._table is None:
            self._table = ClassTable(offered.capacity)
        known = [self._numbers.setdefault(one, len(self._numbers)) for one in offered.classes.tolist()]
        return class_balanced_slots(np.array(known, dtype=np.int64), self._table, rng)

    def sizes(self, classes: int) -> npt.NDArray[np.int64]:
        """Rows [classes] that it holds of each class below `classes`, all of which are."""
        sizes = np.zeros(classes, np.int64)
        if self._table is not None:
            sizes[list(self._numbers)] = self._table.sizes
        return sizes

    def slots_at(
        self, classes: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Slots [n] of rows that are named by class and number in it. Their order there means nothing."""
        if self._table is None:
            return np.empty(0, np.int64)
        places = np.fromiter(map(self._numbers.__getitem__, classes.tolist()), np.int64, len(classes))
        slots: npt.NDArray[np.int64] = self._table.order[self._table.starts[places] + numbers]
        return slots

    def late(
        self, arrival: npt.NDArray[np.int64], capacity: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Of rows of one class: a reservoir."""
        return reservoir_slots(len(arrival), int(arrival[0]), capacity, rng)

    def state(self) -> State:
        if self._table is None:
            return {}
        return {"classes": np.array(list(self._numbers), dtype=np.int64), "table": self._table.state()}

    def load(self, state: State) -> None:
        known = np.asarray(state.get("classes", ()), dtype=np.int64).tolist()
        self._numbers = {one: number for number, one in enumerate(known)}
        self._table = ClassTable(**state["table"]) if state else None
