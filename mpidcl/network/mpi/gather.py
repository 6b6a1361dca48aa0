"""Everybody's array to all ranks, or to one: a head for all agents of a rank, then the arrays."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mpidcl.errors import CombineError
from mpidcl.network.mpi.pending import Countdown
from mpidcl.network.mpi.tags import GATHER_HEADS, GATHERED
from mpidcl.network.mpi.wire import Wire
from mpidcl.network.together.calls import MOST_DIMENSIONS, Array

_RECORD = struct.Struct(f"<qq16s{MOST_DIMENSIONS}q")
"""Number of the request, dimensions (-1: no array), dtype, shape."""


class GatherEngine:
    """One rank's part in gathering. `rank_of[agent]` says where every agent lives."""

    def __init__(self, wire: Wire, rank_of: Sequence[int]) -> None:
        self._wire, self._rank_of = wire, rank_of

    def begin(
        self,
        when: str,
        number: int,
        arrays: dict[int, Array | None],
        to: int | None,
        done: Callable[[list[Array | None]], None],
    ) -> None:
        """Begin. `arrays`, contiguous, are those of this rank's agents; `done` gets those of all agents.

        On ranks where nobody receives, `done` gets an empty list. All ranks make the same calls.
        """
        found: dict[int, Array | None] = dict(arrays)
        receivers = range(self._wire.size) if to is None else [self._rank_of[to]]
        here = self._wire.rank in receivers
        everybody = range(len(self._rank_of))
        ended = Countdown(lambda: done([found[agent] for agent in everybody] if here else []))
        for rank in self._wire.others if here else ():
            self._hear(when, number, rank, found, ended)
        mine = [arrays[agent] for agent in sorted(arrays)]
        heads = np.frombuffer(b"".join(_head(number, array) for array in mine), np.uint8)
        for rank in self._wire.others:
            if rank in receivers:
                self._wire.send(heads, rank, GATHER_HEADS, ended)
                for array in mine:
                    if array is not None:
                        self._wire.send(array, rank, GATHERED, ended)
        ended.close()

    def _hear(
        self, when: str, number: int, rank: int, found: dict[int, Array | None], ended: Countdown
    ) -> None:
        agents = [agent for agent, home in enumerate(self._rank_of) if home == rank]
        heads = np.empty(len(agents) * _RECORD.size, np.uint8)

        def came() -> None:
            for agent, record in zip(agents, _RECORD.iter_unpack(heads.tobytes()), strict=True):
                if record[0] != number:
                    raise CombineError(
                        f"at {when}, all agents should ask for the same Gather. "
                        f"Found {number} here and {record[0]} in agent {agent}."
                    )
                found[agent] = _empty(record)
                if (array := found[agent]) is not None:
                    self._wire.receive(array, rank, GATHERED, ended)
            ended.close()

        ended.open()
        heads_here = Countdown(came)
        self._wire.receive(heads, rank, GATHER_HEADS, heads_here)
        heads_here.close()


def _head(number: int, array: Array | None) -> bytes:
    if array is None:
        return _RECORD.pack(number, -1, b"", *[0] * MOST_DIMENSIONS)
    shape = [*array.shape, *[0] * (MOST_DIMENSIONS - array.ndim)]
    return _RECORD.pack(number, array.ndim, array.dtype.str.encode(), *shape)


def _empty(record: tuple[Any, ...]) -> Array | None:
    _, dimensions, dtype, *shape = record
    if dimensions < 0:
        return None
    return np.empty(shape[:dimensions], np.dtype(dtype.rstrip(b"\0").decode()))
