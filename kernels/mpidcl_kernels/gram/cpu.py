"""Gram matrix and weighted sum of rows on the CPU: pieces of the compiled loops, over threads.

Pieces depend on sizes alone and their results are added in order, so the number of threads changes no bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.base.threads import for_pieces
from mpidcl_kernels.base.types import View
from mpidcl_kernels.gram.rows import Rows, crosses, one_vector, packed

Matrix = npt.NDArray[np.float64]
PIECE = 65536
"""Columns that a thread combines at least."""
AT_ONCE = 1 << 21
"""Elements of the blocks' matrices that are held at a time."""


@functools.cache
def _loops() -> tuple[Callable[..., None], Callable[..., None], Callable[..., None]]:
    from mpidcl_kernels.gram import combine as gram_combine
    from mpidcl_kernels.gram import loops

    blocks = compiled(loops.gram_blocks, reorder=True)
    return blocks, compiled(loops.add_blocks), compiled(gram_combine.combine)


def _tile(n: int) -> int:
    """Side of the squares of pairs: the one with fewer products, padding counted. Both fit in registers."""
    if n <= 2:
        return 1

    def products(side: int) -> int:
        count = -(-n // side)
        return count * side * (side + 1) // 2 + count * (count - 1) // 2 * side * side

    return min(5, 4, key=products)


def _chunk(n: int, itemsize: int) -> int:
    """Columns that all tiles go through before the next ones come, measured on Zen 4.

    Rows of a single tile are read once. Up to 12, short turns of every row keep all rows coming ahead of use.
    For more rows the work per byte hides the second cache, and sums are moved less often.
    """
    return 1024 if n <= 5 else 1024 // itemsize if n <= 12 else 2048


@functools.lru_cache(32)
def _padded(n: int) -> npt.NDArray[np.int64]:
    """Rows 0 .. n - 1, and the last one again until the last tile is full."""
    tile = _tile(n)
    return np.minimum(np.arange(-(-n // tile) * tile), n - 1)


def gram_blocks(rows: Rows, block: int, first: int, last: int) -> Matrix:
    """[last - first, n, n]: the matrices of blocks first .. last."""
    loop, out = _loops()[0], np.empty((last - first, rows.n, rows.n))
    order, sizes = _padded(rows.n), (block, _chunk(rows.n, rows.dtype.itemsize))
    tile, spanned = _tile(rows.n), one_vector(rows)

    def work(begin: int, end: int) -> None:
        if spanned is not None:
            span, starts = spanned
            loop(span, starts[order], tile, rows.p, *sizes, first + begin, first + end, out[begin:end])
            return
        for b in range(begin, end):
            span, starts, columns = packed(rows, (first + b) * block, block)
            loop(span, starts[order], tile, columns, *sizes, 0, 1, out[b : b + 1])

    for_pieces(work, last - first)
    return out


def gram_matrix(rows: Rows, block: int) -> Matrix:
    """The sum [n, n] of all blocks' matrices, in order."""
    # Not all of the blocks' matrices are held at once; they are added one by one, so this changes no bit.
    blocks = -(-rows.p // block)
    if blocks == 1:
        only: Matrix = gram_blocks(rows, block, 0, 1)[0]
        return only
    out = np.zeros((rows.n, rows.n))
    step = max(1, AT_ONCE // max(1, rows.n**2))
    for first in range(0, blocks, step):
        _loops()[1](gram_blocks(rows, block, first, min(first + step, blocks)), out)
    return out


def combine_rows(rows: Rows, weights: Matrix, target: View | None) -> View:
    """`target` [p], or a new array, of the rows' dtype."""
    loop, spanned, p = _loops()[2], one_vector(rows), rows.p
    out = target
    if out is None or not (out.flags.c_contiguous and out.flags.aligned) or crosses(np, rows, out):
        out = np.empty(p, rows.dtype)

    def work(begin: int, end: int) -> None:
        if spanned is not None:
            loop(*spanned, weights, begin * PIECE, min(end * PIECE, p), out)
            return
        for first in range(begin * PIECE, min(end * PIECE, p), PIECE):
            span, starts, size = packed(rows, first, PIECE)
            loop(span, starts, weights, 0, size, out[first : first + size])

    for_pieces(work, -(-p // PIECE))
    if target is not None and target is not out:
        target[...] = out
    return out
