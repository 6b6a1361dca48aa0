"""Compares and combines gradients that live on different ranks, with the traffic of one allreduce.

Every rank owns some blocks of coordinates. It gets its slice of every gradient, finds the Gram matrices of
its blocks and tells them to all; later it combines its slices and sends its part of the direction to all.
With n gradients of P floats on as many ranks each rank sends 2 P (n - 1) / n floats.

Small gradients travel whole: then every rank finds all by itself, and nobody waits a second time. The bits
are the same. Nothing here waits: `Pending` calls what is to be done next.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mpidcl.network.mpi.heads import COMBINE, COMPARE, COMPARE_ROWS, Head, Heads
from mpidcl.network.mpi.pending import Countdown
from mpidcl.network.mpi.tags import DIRECTION, FACTS, GRAM, SLICE
from mpidcl.network.mpi.wire import Wire
from mpidcl.network.requests import Compared, Mix, Row
from mpidcl.network.together.blocks import (
    Doubles,
    Vector,
    block_share,
    column_share,
    sum_blocks,
    travels_whole,
    write_direction,
)
from mpidcl_kernels.gram import gram_blocks


@dataclass
class _Comparison:
    """The gradients of one step as this rank sees them. `homes[i]` is the rank of row i."""

    number: int
    homes: tuple[int, ...]
    gram: bool
    done: Callable[[Compared], None]
    slices: dict[int, Vector] = field(default_factory=dict)
    facts: dict[int, Vector] = field(default_factory=dict)


class CombineEngine:
    """One rank's part in comparing and combining. All ranks make the same calls in the same order."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._heads = wire, Heads(wire)
        self._floats: int | None = None
        self._weights = 0
        self._buffers: list[Vector] = []
        self._fact_buffers: list[Vector] = []
        self._grams = np.empty((0, 0, 0))
        self._now: _Comparison | None = None

    @property
    def floats(self) -> int | None:
        """Elements of the gradients that were compared last; None before."""
        return self._floats

    @property
    def number(self) -> int:
        """Number of the last comparison, -1 before the first."""
        return -1 if self._now is None else self._now.number

    @property
    def rows(self) -> int:
        """How many gradients the last comparison had."""
        return 0 if self._now is None else len(self._now.homes)

    # --- compare -----------------------------------------------------------------------------------

    def compare(
        self,
        when: str,
        number: int,
        homes: Sequence[int],
        rows: Sequence[Row],
        gram: bool,
        done: Callable[[Compared], None],
    ) -> None:
        """Begin; `done` is called with the answer. Row i lives on rank `homes[i]`; `rows` are this rank's."""
        floats = rows[0].vector.size if rows else None
        fact_floats = rows[0].facts.size if rows else None
        now = _Comparison(number, tuple(homes), gram, done)
        self._now, self._floats = now, floats
        arrived, settled = Countdown(self._all_here), Countdown(self._all_compared)
        self._settled = settled
        check = zlib.crc32(np.array(now.homes, np.int64).data)
        kind = COMPARE if gram else COMPARE_ROWS
        head = Head(kind, number, _unknown(floats), _unknown(fact_floats), check, self._weights)
        self._heads.exchange(
            when, head, arrived, settled, lambda rank, other: self._met(rank, other, arrived)
        )
        for row in rows:
            now.slices[row.place] = row.vector[self._columns(self._wire.rank)]
            now.facts[row.place] = row.facts
            for rank in self._wire.others:
                self._wire.send(row.facts, rank, FACTS, settled)
                self._wire.send(row.vector[self._columns(rank)], rank, SLICE, settled)
        arrived.close()

    @property
    def _whole(self) -> bool:
        assert self._floats is not None
        return travels_whole(self._floats, self.rows)

    def _columns(self, rank: int) -> slice:
        """The coordinates that a rank gets of every gradient."""
        assert self._floats is not None
        return slice(0, self._floats) if self._whole else column_share(self._floats, self._wire.size, rank)

    def _met(self, rank: int, head: Head, arrived: Countdown) -> None:
        """A rank's head has come: now it is known what else it sends."""
        now = self._now
        assert now is not None
        places = [place for place, home in enumerate(now.homes) if home == rank]
        if places:
            self._floats = head.floats
            own = self._columns(self._wire.rank)
        for place in places:
            number = sum(home != self._wire.rank for home in now.homes[:place])
            now.facts[place] = _buffer(self._fact_buffers, number, head.facts)
            now.slices[place] = _buffer(self._buffers, number, own.stop - own.start)
            self._wire.receive(now.facts[place], rank, FACTS, arrived)
            self._wire.receive(now.slices[place], rank, SLICE, arrived)

    def _all_here(self) -> None:
        """All slices of this rank's columns have come: find its blocks' Gram matrices and tell all."""
        now, settled = self._now, self._settled
        assert now is not None and self._floats is not None
        if not now.gram:
            return settled.close()
        n, ranks, floats = len(now.homes), self._wire.size, self._floats
        blocks = block_share(floats, 1, 0).stop
        if self._grams.shape != (blocks, n, n):
            self._grams = np.empty((blocks, n, n))
        shares = [slice(0, blocks) if self._whole else block_share(floats, ranks, r) for r in range(ranks)]
        others = [] if self._whole else self._wire.others
        own = self._grams[shares[self._wire.rank]]
        for rank in others:
            self._wire.receive(self._grams[shares[rank]], rank, GRAM, settled)
        if own.size:
            own[:] = gram_blocks([now.slices[place] for place in range(n)])
        for rank in others:
            self._wire.send(own, rank, GRAM, settled)
        return settled.close()

    def _all_compared(self) -> None:
        now = self._now
        assert now is not None
        facts = np.stack([now.facts[place] for place in range(len(now.homes))])
        now.done(Compared(sum_blocks(self._grams) if now.gram else np.empty((0, 0)), facts))

    # --- combine -----------------------------------------------------------------------------------

    def combine(self, when: str, weights: Doubles | Mix, out: Vector, done: Callable[[], None]) -> None:
        """Begin to write the direction to `out [p]` on all ranks; `done` is called when it is there."""
        now = self._now
        assert now is not None
        self._weights = zlib.crc32(b"rule" if callable(weights) else weights.data, self._weights)
        columns = self._columns(self._wire.rank)
        slices = [now.slices[place] for place in range(len(now.homes))]
        if self._whole:
            write_direction(slices, weights, 0, out)
            return done()
        ended = Countdown(done)
        head = Head(COMBINE, now.number, out.size, 0, 0, self._weights)

        def met(rank: int, _: Head) -> None:
            self._wire.receive(out[self._columns(rank)], rank, DIRECTION, ended)

        self._heads.exchange(when, head, ended, ended, met)
        write_direction(slices, weights, columns.start, out[columns])
        for rank in self._wire.others:
            self._wire.send(out[columns], rank, DIRECTION, ended)
        ended.close()
        return None


def _unknown(size: int | None) -> int:
    return -1 if size is None else size


def _buffer(buffers: list[Vector], number: int, size: int) -> Vector:
    """The first `size` floats of a buffer that is kept for later steps; they hold anything."""
    while len(buffers) <= number:
        buffers.append(np.empty(0, np.float32))
    if buffers[number].size < size:
        buffers[number] = np.empty(size, np.float32)
    return buffers[number][:size]
