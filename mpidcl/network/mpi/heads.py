"""Heads: what every rank tells every other at the beginning of a request, so that no size is a surprise."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mpidcl.errors import CombineError
from mpidcl.network.mpi.pending import Countdown
from mpidcl.network.mpi.tags import HEAD
from mpidcl.network.mpi.wire import Wire

COMPARE, COMBINE, COMPARE_ROWS = 1, 2, 3
_NAMES = {COMPARE: "Compare", COMBINE: "Combine", COMPARE_ROWS: "Compare without a Gram matrix"}


class Head(NamedTuple):
    """What a rank is about to do. `floats` and `facts`: elements per row, -1 as long as it knows none.

    `order`: checksum of the ranks of all rows. `weights`: checksum of all weights so far.
    """

    kind: int
    number: int
    floats: int
    facts: int
    order: int
    weights: int


class Heads:
    """Exchanges heads with all ranks. Ranks that do not fit together are found before anything of a size."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._out = np.zeros(len(Head._fields), np.int64)
        self._in = np.zeros((wire.size, len(Head._fields)), np.int64)

    def exchange(
        self,
        when: str,
        head: Head,
        arrived: Countdown,
        sent: Countdown,
        met: Callable[[int, Head], None],
    ) -> None:
        """Tell all ranks; `met(rank, head)` is called for each that has told, when it fits.

        `arrived` and `sent` count the receives and the sends. Raises CombineError, from the waiting loop,
        when a rank does something else, or has gradients of another size.
        """
        self._out[:] = head
        known = {self._wire.rank: head}

        def came(rank: int) -> None:
            known[rank] = Head(*self._in[rank].tolist())
            check_heads(when, known)
            met(rank, known[rank])
            arrived.close()

        for rank in self._wire.others:
            arrived.open()
            one = Countdown(lambda rank=rank: came(rank))  # type: ignore[misc]
            self._wire.receive(self._in[rank], rank, HEAD, one)
            one.close()
        for rank in self._wire.others:
            self._wire.send(self._out, rank, HEAD, sent)


def check_heads(when: str, heads: dict[int, Head]) -> None:
    """Raises CombineError when the ranks do not do the same, naming all that are known: rank -> head."""
    kind, number, *_ = heads[min(heads)]
    if len({head[:2] for head in heads.values()}) > 1:
        found = {rank: f"{_NAMES.get(h.kind, h.kind)} {h.number}" for rank, h in heads.items()}
        raise CombineError(f"at {when}, all ranks should ask for the same. Found {_by_rank(found)}.")
    where = f"{_NAMES[kind]} {number} at {when}"
    for name, field in (("gradients of as many floats", "floats"), ("as many facts per row", "facts")):
        found = {rank: str(getattr(h, field)) for rank, h in heads.items() if getattr(h, field) >= 0}
        if len(set(found.values())) > 1:
            raise CombineError(
                f"{where}: all ranks should have {name}. Found {_by_rank(found)}: their models differ."
            )
    for name, field in (("order of rows", "order"), ("weights in every step", "weights")):
        found = {rank: f"checksum {getattr(h, field):08x}" for rank, h in heads.items()}
        if len(set(found.values())) > 1:
            raise CombineError(f"{where}: all ranks should have the same {name}. Found {_by_rank(found)}.")


def _by_rank(found: dict[int, str]) -> str:
    """`5 on ranks 0, 1; 7 on rank 2`."""
    ranks: dict[str, list[int]] = {}
    for rank, value in sorted(found.items()):
        ranks.setdefault(value, []).append(rank)
    words = []
    for value, where in ranks.items():
        words.append(f"{value} on rank{'s' * (len(where) > 1)} {', '.join(map(str, where))}")
    return "; ".join(words)
