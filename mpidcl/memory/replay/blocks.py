"""Memory for rows on their way, used again and never taken from whoever still holds it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.memory.replay.share import Indices, Records
from mpidcl_kernels.gather import gather_rows

MOST_BLOCKS = 8
"""Blocks that are kept to be used again; whoever holds on to more rows gets new memory for each."""


class Blocks:
    """Blocks of `rows` records. A block is given again when nobody else has a view of it any more."""

    def __init__(self, dtype: np.dtype[np.void], rows: int) -> None:
        self._dtype, self._rows = dtype, rows
        self._blocks = [self._new()]
        self._alone = self._holders(self._blocks[0])

    def take(self) -> Records:
        """A block that belongs to the caller for as long as there is a view of it. Its rows are old ones."""
        for place in range(len(self._blocks)):
            if self._holders(self._blocks[place]) == self._alone:  # no name is bound: it would count
                return self._blocks[place]
        block = self._new()
        if len(self._blocks) < MOST_BLOCKS:
            self._blocks.append(block)
        return block

    def _new(self) -> Records:
        return np.zeros(self._rows, self._dtype)

    @staticmethod
    def _holders(block: Records) -> int:
        return sys.getrefcount(block)


class Drawn(NamedTuple):
    """Rows that an agent has drawn: `block [m]`, owners in order, and of each draw the places [m'] there.

    owner [m]: the agent that holds each row. in_order: the block is known to be one draw after the other.
    """

    block: Records
    places: tuple[Indices, ...]
    owner: Indices
    in_order: bool = False

    @property
    def rows(self) -> int:
        """Of all draws together."""
        return len(self.block)

    def columns(self, names: Sequence[str], blocks: Blocks) -> dict[str, NDArray[np.generic]]:
        """Columns [m, *shape] of the rows, one draw after the other: views of memory of the caller's own."""
        block = self.block
        if len(self.places) > 1 and not self.in_order:
            block = gather_rows(block, np.concatenate(self.places), blocks.take()[: len(block)])
        return {name: block[name] for name in names}


def runs(numbers: Indices) -> Iterator[tuple[int, slice]]:
    """Each number of a sorted list [n], and where it stands there.

    >>> list(runs(np.array([2, 2, 5])))
    [(2, slice(0, 2, None)), (5, slice(2, 3, None))]
    """
    if not len(numbers):
        return
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for first, last in zip(edges, edges[1:], strict=False):
        yield int(numbers[first]), slice(first, last)
