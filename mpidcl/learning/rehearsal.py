"""Rows drawn from a memory for the terms of a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch

from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.learning.batches import Drawn
from mpidcl.learning.terms.base import Draw, Term
from mpidcl.memory.grouped import Memory, Rows
from mpidcl.network.requests import Asking
from mpidcl.randomness import generator_state, load_generator_state, numpy_generator

Rehearsed = dict[Term, tuple[Drawn, ...]]


class Local:
    """Draws from the agent's own memory, uniformly and without replacement; every draw has its own chance.

    `prepared` makes rows of some columns of the memory ready for the encoder. `each_step`: the memory changes
    at every step. Else all of its rows are made ready once, when they have changed.
    """

    def __init__(
        self,
        memory: Memory,
        columns: Sequence[str],
        prepared: Callable[[Rows], Drawn],
        seed: int,
        agent: int,
        each_step: bool,
    ) -> None:
        self._memory, self._columns, self._prepared = memory, columns, prepared
        self._seed, self._agent, self._each_step = seed, agent, each_step
        self.draws: list[tuple[Term, tuple[tuple[Draw, np.random.Generator], ...]]] = []
        """What is drawn at each step, and with which chance."""
        self._whole: tuple[int, Drawn] | None = None

    def open(self, terms: Sequence[Term]) -> None:
        """Give every draw of the terms its generator. Terms of one name draw apart.

        Raises ExperimentError for a draw that is larger than the memory.
        """
        number = Counter[str]()
        self.draws = []
        for term in terms:
            draws = []
            for draw in term.draws():
                self._check(term, draw)
                again = f" {number[term.name]}" if number[term.name] else ""
                number[term.name] += 1
                purpose = f"{term.name} draw{again}"
                draws.append((draw, numpy_generator(self._seed, self._agent, purpose)))
            if draws:
                self.draws.append((term, tuple(draws)))

    def _check(self, term: Term, draw: Draw) -> None:
        most = self._memory.most
        if most is not None and draw.rows > most:
            raise ExperimentError(
                f'A draw of the term "{term.name}" should be of at most {most} rows, which is the room of'
                f' memory.capacity = "{self._memory.capacity}". Found {draw.rows}. Draw fewer rows.'
            )

    def draw(self, acting: Sequence[Term]) -> Asking[Rehearsed]:
        """Rows for the terms that act in this step; nothing from an empty memory. It asks nobody."""
        yield from ()
        if not len(self._memory):
            return {}
        return {
            term: tuple(self._take(rng.permutation(len(self._memory))[: draw.rows]) for draw, rng in draws)
            for term, draws in self.draws
            if term in acting
        }

    def _take(self, positions: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Drawn:
        if self._each_step:
            return self._prepared(self._memory.take(positions, self._columns))
        if self._whole is None or self._whole[0] != self._memory.version:
            self._whole = self._memory.version, self._prepared(self._memory.rows())
        rows = self._whole[1]
        return rows.take(torch.from_numpy(positions).to(rows.z.device))

    def state(self) -> State:
        """The generators, by the number of the draw."""
        every = (rng for _, draws in self.draws for _, rng in draws)
        return {str(number): generator_state(rng) for number, rng in enumerate(every)}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        every = (rng for _, draws in self.draws for _, rng in draws)
        for number, rng in enumerate(every):
            load_generator_state(rng, state[str(number)])
        self._whole = None
