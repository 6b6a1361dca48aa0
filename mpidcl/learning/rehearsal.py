"""Rows drawn from a memory for the terms of a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.learning.batches import Drawn, Lying
from mpidcl.learning.replay_log import NoLog
from mpidcl.learning.terms.base import Draw, Term
from mpidcl.memory.buffer import Buffer
from mpidcl.memory.by_class import ByClass
from mpidcl.memory.draws import spread
from mpidcl.memory.grouped import Memory, Rows
from mpidcl.network.requests import Asking
from mpidcl.randomness import generator_state, load_generator_state, numpy_generator

Rehearsed = dict[Term, tuple[Drawn, ...]]
Positions = npt.NDArray[np.int64]
MANY = 64
"""Among fewer rows than this for each one drawn a permutation of all of them is quicker than Python."""


def positions(draw: Draw, held: int, rng: np.random.Generator) -> Positions:
    """Positions of the rows of a draw among `held` rows: a uniformly drawn set.

    A `quick` draw of few rows among many costs the same however many there are, and comes in no random order
    (Floyd: Bentley and Floyd 1987, "A sample of brilliance", algorithm F2).
    """
    if held <= draw.rows and draw.quick:
        return np.arange(held)
    if not draw.quick or held < MANY * draw.rows:
        return rng.permutation(held)[: draw.rows]
    tops = np.arange(held - draw.rows, held)
    chosen: dict[int, None] = {}  # uniform in [0, 1): int(u n) < n for every n < 2^53
    for one, top in zip((rng.random(draw.rows) * (tops + 1)).tolist(), tops.tolist(), strict=True):
        chosen[top if int(one) in chosen else int(one)] = None
    return np.fromiter(chosen, np.int64, draw.rows)


@dataclass(frozen=True, slots=True)
class Whose:
    """Who draws: `agent` of `agents` with the chance of `seed`.

    classes: how many there are, `labels` in each head, where draws are split evenly over them; 0: they are
    uniform over all rows.
    """

    seed: int
    agent: int
    agents: int = 1
    classes: int = 0
    labels: int = 0


class Rehearsal(ABC):
    """What is drawn at each step for the terms of the loss: the `columns` of rows of a memory."""

    shares = 1
    """How many memories like the agent's own it draws from."""

    @property
    def sent_bytes(self) -> int:
        """What this agent has sent for draws, when every agent has a rank of its own."""
        return 0

    def __init__(self, memory: Memory, columns: Sequence[str], whose: Whose) -> None:
        self._memory, self._columns, self._whose = memory, columns, whose
        self._seed, self._agent = whose.seed, whose.agent
        self._terms: Sequence[Term] = ()
        self.log = NoLog()
        self.draws: list[tuple[Term, tuple[tuple[Draw, np.random.Generator], ...]]] = []
        """What is drawn at each step, and with which chance."""

    def open(self, terms: Sequence[Term]) -> None:
        """Give every draw of the terms its generator. Terms of one name draw apart.

        Raises ExperimentError for a draw that is larger than the memory.
        """
        number = Counter[str]()
        self.draws, self._terms = [], terms
        for term in terms:
            draws = []
            for draw in _declared(term):
                self._check(term, draw)
                again = f" {number[term.name]}" if number[term.name] else ""
                number[term.name] += 1
                purpose = f"{term.name} draw{again}"
                draws.append((draw, numpy_generator(self._seed, self._agent, purpose)))
            if draws:
                self.draws.append((term, tuple(draws)))

    def _by_class(self) -> ByClass:
        return self._memory.by_class(self._whose.labels, self._whose.classes)

    def draw_as(self, agent: int) -> None:
        """From now on every draw has the chance of this agent, from its beginning."""
        self._agent = agent
        self.open(self._terms)

    def _check(self, term: Term, draw: Draw) -> None:
        most = self._memory.most
        if most is not None and draw.rows > most * self.shares:
            raise ExperimentError(
                f'A draw of the term "{term.name}" should be of at most {most * self.shares} rows, which is'
                f' the room of memory.capacity = "{self._memory.capacity}"{self._of}. Found {draw.rows}.'
                " Draw fewer rows."
            )

    @property
    def _of(self) -> str:
        return f" of {self.shares} agents" if self.shares > 1 else ""

    @abstractmethod
    def begin_pass(self, steps: int, task: int) -> Asking[int]:
        """A pass of so many steps begins, of `task`: how many steps of others come after one's own."""

    @abstractmethod
    def draw(self, acting: Sequence[Term]) -> Asking[Rehearsed]:
        """Rows for the terms that act in this step; nothing from an empty memory."""

    @abstractmethod
    def pass_over(self) -> Asking[None]:
        """A step of others alone."""

    @abstractmethod
    def state(self) -> State:
        """What a resumed run needs."""

    @abstractmethod
    def load(self, state: State) -> None:
        """Put back what `state` returned."""


class Local(Rehearsal):
    """Draws from the agent's own memory, uniformly and without replacement; every draw has its own chance.

    `prepared` makes all rows of the memory ready for the encoder, once, when they have changed. Where the
    memory changes at every step `ready` does so with the rows of one draw, copies of their `columns`.
    """

    def __init__(
        self,
        memory: Memory,
        columns: Sequence[str],
        prepared: Callable[[Rows], Drawn],
        ready: Callable[[Mapping[str, Tensor]], Drawn] | None,
        whose: Whose,
    ) -> None:
        super().__init__(memory, columns, whose)
        self._classes: tuple[int, ByClass] | None = None
        self._prepared, self._ready = prepared, ready
        self._whole: tuple[int, Drawn] | None = None
        self._stored: tuple[Buffer, Drawn | None] | None = None

    def begin_pass(self, steps: int, task: int) -> Asking[int]:
        yield from ()
        return 0

    def pass_over(self) -> Asking[None]:
        yield from ()

    def draw(self, acting: Sequence[Term]) -> Asking[Rehearsed]:
        yield from ()
        held = len(self._memory)
        if not held:
            return {}
        return {
            term: tuple(self._take(self._positions(draw, held, rng)) for draw, rng in draws)
            for term, draws in self.draws
            if term in acting
        }

    def _positions(self, draw: Draw, held: int, rng: np.random.Generator) -> Positions:
        if not self._whose.classes:
            return positions(draw, held, rng)
        if self._classes is None or self._classes[0] != self._memory.version:
            self._classes = self._memory.version, self._by_class()
        rows = self._classes[1]
        key = rng.integers(0, 1 << 64, 2, np.uint64)
        classes, numbers = spread(key, (0, 0), rows.sizes, 1, draw.rows)
        chosen = rows.positions(classes[0], numbers[0])
        return chosen if draw.quick else rng.permutation(chosen)

    def _take(self, chosen: Positions) -> Drawn:
        if self._ready is None:
            if self._whole is None or self._whole[0] != self._memory.version:
                self._whole = self._memory.version, self._prepared(self._memory.rows())
            return Lying(self._whole[1], chosen)
        if (stored := self._stored_rows(self._ready)) is not None:
            return Lying(stored, chosen)
        found = self._memory.take(chosen, self._columns)
        ready = self._ready({name: torch.from_numpy(values) for name, values in found.items()})
        return replace(ready, place=chosen)

    def _stored_rows(self, ready: Callable[[Mapping[str, Tensor]], Drawn]) -> Drawn | None:
        """All rows where they lie, in the one buffer of the memory; None where they have to be copied."""
        buffer = self._memory.only
        if buffer is None:
            return None
        if self._stored is None or self._stored[0] is not buffer:
            views = {name: torch.from_numpy(buffer.slots(name)) for name in self._columns}
            rows = ready(views)
            lies = rows.z.device.type == "cpu" and _same_memory(rows.z, views[self._columns[0]])
            self._stored = buffer, rows if lies else None
        return self._stored[1]

    def state(self) -> State:
        """The generators, by the number of the draw."""
        every = (rng for _, draws in self.draws for _, rng in draws)
        return {str(number): generator_state(rng) for number, rng in enumerate(every)}

    def load(self, state: State) -> None:
        every = (rng for _, draws in self.draws for _, rng in draws)
        for number, rng in enumerate(every):
            load_generator_state(rng, state[str(number)])
        self._whole = self._classes = None


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _declared(term: Term) -> tuple[Draw, ...]:
    """The draws of a term. Raises ExperimentError where they are none."""
    found = term.draws()
    if isinstance(found, tuple) and all(isinstance(draw, Draw) for draw in found):
        return found
    raise ExperimentError(
        f'`draws` of the term "{term.name}" ({type(term).__name__}) should be a tuple of Draw, such as'
        f" (Draw(10),). Found {found!r:.80}."
    )
