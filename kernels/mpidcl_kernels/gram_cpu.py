"""Gram matrix and weighted sum of rows on the CPU: pieces of the compiled loops, over threads.

Pieces depend on sizes alone and their results are added in order, so the number of threads changes no bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.cache import compiled
from mpidcl_kernels.gram_rows import Rows, one_vector, packed
from mpidcl_kernels.threads import for_pieces

Matrix = npt.NDArray[np.float64]
PIECE = 65536
"""Columns that a thread combines at least."""
AT_ONCE = 1 << 21
"""Elements of the blocks' matrices that are held at a time."""


@functools.cache
def _loops() -> tuple[Callable[..., None], Callable[..., None], Callable[..., None]]:
    from mpidcl_kernels import gram_combine, gram_loops

    blocks = compiled(gram_loops.gram_blocks, reorder=True)
    return blocks, compiled(gram_loops.add_blocks), compiled(gram_combine.combine)


def _chunk(n: int) -> int:
    """Columns that all tiles go through before the next ones come, measured on Zen 4.

    Up to 5 rows are read once each. Up to 12, short chunks leave room in the fastest cache for what comes.
    For more rows the work per byte hides the second cache.
    """
    return 1024 if n <= 5 else 384 if n <= 12 else 2048


def gram_blocks(rows: Rows, block: int, first: int, last: int) -> Matrix:
    """[last - first, n, n]: the matrices of blocks first .. last."""
    loop, out = _loops()[0], np.empty((last - first, rows.n, rows.n))
    chunk, spanned = _chunk(rows.n), one_vector(rows)

    def work(begin: int, end: int) -> None:
        if spanned is not None:
            loop(*spanned, rows.n, rows.p, block, chunk, first + begin, first + end, out[begin:end])
            return
        for b in range(begin, end):
            span, starts, size = packed(rows, (first + b) * block, block)
            loop(span, starts, rows.n, size, block, chunk, 0, 1, out[b : b + 1])

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


def combine_rows(rows: Rows, weights: Matrix, target: Any) -> Any:
    """`target` [p], or a new array, of the rows' dtype."""
    loop, spanned, p = _loops()[2], one_vector(rows), rows.p
    direct = target is not None and target.flags.c_contiguous and target.flags.aligned
    out = target if direct else np.empty(p, rows.dtype)

    def work(begin: int, end: int) -> None:
        if spanned is not None:
            loop(*spanned, weights, begin * PIECE, min(end * PIECE, p), out)
            return
        for first in range(begin * PIECE, min(end * PIECE, p), PIECE):
            span, starts, size = packed(rows, first, PIECE)
            loop(span, starts, weights, 0, size, out[first : first + size])

    for_pieces(work, -(-p // PIECE))
    if target is not None and not direct:
        target[...] = out
    return out
