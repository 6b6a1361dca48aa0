"""Insertion policies: which slot of a buffer takes a new row, if any."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.memory.memory import Keeping
from mpidcl_kernels.slots import REFUSED, candidate_slots, fifo_slots, reservoir_slots

__all__ = ["REFUSED", "Candidate", "Fifo", "Offered", "Overwrite", "Policy", "Reservoir"]


class Offered(NamedTuple):
    """Rows that arrive in order at a buffer of `capacity` rows, after `seen` others.

    `rows`: how many. `classes [rows]`: a number for each class, None where the buffer knows of none;
    `held()`: those of the rows that it holds, in order of slot.
    """

    rows: int
    seen: int
    capacity: int
    classes: npt.NDArray[np.int64] | None
    held: Callable[[], npt.NDArray[np.int64] | None]


class Policy(Keeping, ABC):
    """Chooses slots. The buffer keeps the count of offered rows, the caller the generator.

    Most need no state and say which slots `late` rows take. One that looks at classes has `place`, and one
    that remembers has `for_buffer`, `state` and `load`, too.
    """

    takes_rows = "rows as they come"
    by_features: ClassVar[bool] = False
    """Whether `choose` says which rows of a task stay when it ends; received rows come one by one all the
    same."""

    def __init__(self, options: object = None) -> None:
        self.options = options

    def for_buffer(self) -> Policy:
        """The policy of one more buffer: itself, if it remembers nothing."""
        return self

    def place(self, offered: Offered, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Slots [count] for the rows offered; REFUSED for none."""
        return self.slots(offered.rows, offered.seen, offered.capacity, rng)

    def state(self) -> State:
        """What it remembers of its buffer."""
        return {}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""

    def choose(self, features: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
        """Positions of at most `count` rows of a class with encodings `features [n, width]`, the best first.

        When more classes come the last ones go. Only of policies that say `by_features`.
        """
        raise NotImplementedError(f"{type(self).__name__} chooses no rows by their encodings")

    def slots(self, count: int, seen: int, capacity: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Slots [count] for `count` rows that arrive in order after `seen` others; REFUSED for none.

        The first `capacity` rows fill the buffer from slot 0; within a call later rows replace earlier ones.
        """
        slots, room = np.arange(seen, seen + count), max(0, capacity - seen)
        if room < count:
            slots[room:] = self.late(slots[room:].copy(), capacity, rng)
        return slots

    @abstractmethod
    def late(
        self, arrival: npt.NDArray[np.int64], capacity: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Slots for rows that meet a full buffer; `arrival [n]` counts the rows that came before each."""


class Reservoir(Policy):
    """Every row seen so far is in the buffer with the same probability (Vitter 1985, algorithm R)."""

    name: ClassVar[str] = "reservoir"

    def late(
        self, arrival: npt.NDArray[np.int64], capacity: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        return reservoir_slots(len(arrival), int(arrival[0]), capacity, rng)


class Overwrite(Policy):
    """Once full, every row overwrites a random slot: the rule of DCL's public code, which favours late rows.

    For comparison with published numbers only; it is not a reservoir.
    """

    name: ClassVar[str] = "overwrite"

    def late(
        self, arrival: npt.NDArray[np.int64], capacity: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        if capacity == 0:
            return np.full(len(arrival), REFUSED)
        return rng.integers(0, capacity, len(arrival))


class Candidate(Policy):
    """Once full, a row is accepted with probability `accept`, and overwrites a random slot.

    With a capacity per class this is the rule of Bouvier et al. 2024 (arXiv 2406.03285), accept = c / b for c
    candidates of each batch of b rows: classes that no longer arrive keep their rows, others forget old ones.
    """

    name: ClassVar[str] = "candidate"

    class Options(Options):
        """How likely a row is to be taken."""

        accept: float = Field(
            default=0.25, ge=0, le=1, description="probability that a full room takes a row: c / b"
        )

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """One room for all, in which new rows soon take the places of all old ones."""
        memory = use.mine.memory
        if memory.used and memory.capacity.per is None and memory.capacity.unit != "percent":
            yield (
                f'note: memory.policy = "{cls.name}" with memory.capacity = "{memory.capacity}", one room for'
                " all, soon holds rows of the latest task alone. Give each class a room of its own, such as"
                ' "5 rows per class".'
            )

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self.accept = (options or self.Options()).accept

    def late(
        self, arrival: npt.NDArray[np.int64], capacity: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        own = np.zeros(len(arrival), np.int64)  # a buffer is the room of one class, and full
        return candidate_slots(own, np.array([capacity]), capacity, self.accept, rng)


class Fifo(Policy):
    """Every row overwrites the oldest: a window of the latest rows."""

    name: ClassVar[str] = "fifo"

    def late(
        self, arrival: npt.NDArray[np.int64], capacity: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        return fifo_slots(len(arrival), int(arrival[0]), capacity)
