"""How the coordinates of gradients are divided among ranks, and what a rank computes of its part.

Sums over coordinates are taken block by block and added in the order of the blocks. A rank owns whole blocks,
so the sums have the same bits for any number of ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpidcl.network.requests import Mix
from mpidcl_kernels.gram import BLOCK, combine_rows

Vector = NDArray[np.float32]
Doubles = NDArray[np.float64]


WHOLE_BYTES = 2**23
"""Gradients of so many bytes together travel whole. It costs up to n / 2 times the bytes and saves two of the
three times that a step waits for all ranks."""


def travels_whole(floats: int, rows: int) -> bool:
    """Whether so many gradients of `floats` each go to every rank instead of being cut into slices."""
    return 4 * floats * rows <= WHOLE_BYTES


def block_share(floats: int, ranks: int, rank: int) -> slice:
    """The blocks that a rank owns: contiguous, and as many for every rank, to one."""
    blocks = -(-floats // BLOCK)
    return slice(rank * blocks // ranks, (rank + 1) * blocks // ranks)


def column_share(floats: int, ranks: int, rank: int) -> slice:
    """The coordinates of the blocks that a rank owns; empty where there are fewer blocks than ranks."""
    blocks = block_share(floats, ranks, rank)
    return slice(min(blocks.start * BLOCK, floats), min(blocks.stop * BLOCK, floats))


def write_direction(rows: Sequence[Vector], weights: Doubles | Mix, first: int, out: Vector) -> None:
    """out [m] <- coordinates first .. first + m of the direction, from those of all rows, n times [m].

    `first` is the beginning of a block. Rows of weight 0 are not read: they may hold NaN.
    """
    if callable(weights):
        for at in range(0, out.size, BLOCK):
            part = slice(at, at + BLOCK)
            out[part] = weights([row[part] for row in rows], first + at)
        return
    used = [i for i, weight in enumerate(weights) if weight != 0]
    if not used:
        out[:] = 0.0
    elif out.size:
        combine_rows([rows[i] for i in used], weights[used], out=out)


def sum_blocks(grams: Doubles) -> Doubles:
    """The sum [n, n] of `grams [blocks, n, n]`, added one after the other; `grams` is written over."""
    if len(grams) == 0:
        return np.zeros(grams.shape[1:])
    total: Doubles = np.add.accumulate(grams, axis=0, out=grams)[-1].copy()
    return total
