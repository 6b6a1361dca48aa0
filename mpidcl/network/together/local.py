"""Answers to what all agents ask together, where all of them live in one process: nothing travels."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np

from mpidcl.errors import CombineError
from mpidcl.network.requests import Combine, Compare, Compared, Gather, Reply, Row
from mpidcl.network.services import Answer, Service
from mpidcl.network.together.blocks import write_direction
from mpidcl.network.together.calls import (
    Array,
    Asked,
    RollCall,
    Together,
    arrays_of,
    called,
    check_combine,
    rows_of,
)
from mpidcl.network.waits import together_wait
from mpidcl_kernels.gram import gram_matrix


class LocalTogether(Service[Together]):
    """Answers when the last agent has asked. `debug`: see that nobody changes rows that were compared."""

    answers = (Compare, Combine, Gather)

    def __init__(self, answer: Answer, debug: bool = False) -> None:
        self._answer, self._combining, self._roll = answer, LocalCombining(debug), RollCall(())

    def begin(self, agents: Iterable[int]) -> None:
        self._roll = RollCall(agents)

    def ask(self, agent: int, request: Together) -> None:
        asked = self._roll.add(agent, request)
        if asked is not None:
            for one, reply in self._combining.answer(asked).items():
                self._answer(one, reply)

    def waits_in(self, agent: int, request: Together) -> str:
        return together_wait(request, self._roll.missing(request))


class LocalCombining:
    """Holds the rows between a `Compare` and its `Combine`s. `debug`: see that nobody changes them."""

    def __init__(self, debug: bool = False) -> None:
        self._rows: list[Row] = []
        self._number = -1
        self._sums = Checksums(debug)

    def answer(self, asked: Asked) -> dict[int, Reply]:
        """The replies to a request that all agents have made, by agent. Raises CombineError."""
        request = next(iter(asked.values()))
        if isinstance(request, Compare):
            return self._compare(asked, request)
        if isinstance(request, Combine):
            return self._combine(asked)
        return _gather(asked)

    def _compare(self, asked: Asked, request: Compare) -> dict[int, Reply]:
        self._rows, self._number = rows_of(asked), request.number
        self._sums.take(self._rows)
        gram = gram_matrix([row.vector for row in self._rows]) if request.gram else np.empty((0, 0))
        facts = np.stack([row.facts for row in self._rows])
        return {agent: Compared(gram.copy(), facts.copy()) for agent in asked}

    def _combine(self, asked: Asked) -> dict[int, Reply]:
        if not self._rows:
            raise CombineError(f"{called(next(iter(asked.values())))}: there should be a Compare before it.")
        vectors = [row.vector for row in self._rows]
        first, *others = check_combine(asked, len(vectors), self._number, vectors[0].size)
        self._sums.check(self._rows, called(first))
        write_direction(vectors, first.weights, 0, first.out)
        for call in others:
            call.out[:] = first.out
        return dict.fromkeys(asked, ())


class Checksums:
    """When wanted, sees that rows are left alone from a `Compare` to its last `Combine`."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._sums: list[int] = []

    def take(self, rows: list[Row]) -> None:
        """Remember what the rows hold."""
        self._sums = [zlib.crc32(row.vector.data) for row in rows] if self._wanted else []

    def check(self, rows: list[Row], when: str) -> None:
        """Raises CombineError when a row has changed since `take`."""
        for crc, row in zip(self._sums, rows, strict=False):
            if zlib.crc32(row.vector.data) != crc:
                raise CombineError(f"{when}: row {row.place} changed after it was compared.")


def _gather(asked: Asked) -> dict[int, Reply]:
    arrays, to = arrays_of(asked)
    return {agent: copies(arrays.values()) if to in (None, agent) else [] for agent in asked}


def copies(arrays: Iterable[Array | None]) -> list[Array | None]:
    """What an agent gets is its own."""
    return [None if array is None else array.copy() for array in arrays]
