"""The compiled loops behind `gram_matrix`: tiles of 5 x 5 or 4 x 4 pairs of rows, or single pairs.

A tile keeps its sums in registers while its rows pass, so that multiplying is the limit and not loading;
float32 becomes float64 on the way from memory, which costs nothing beside 25 products. Row r begins at
`span[at[r]]`. `at` and `total` are padded to whole tiles by repeating the last row; what tiles add to the
padding is never read. Only the upper triangle is computed.

Imports numba: import it when the first call comes, not before. All that is compiled into `gram_blocks` is in
this file, because numba takes it from its cache for as long as this file has not changed.
"""

from __future__ import annotations

import numba
import numpy as np

from mpidcl_kernels.base.types import Decorator

inlined: Decorator = numba.njit(nogil=True, fastmath={"reassoc", "nsz", "contract"}, error_model="numpy")
wide = np.float64
unsigned = np.uint64  # as an index it cannot mean "from the end", so that the compiler vectorises


@inlined
def five(at, i, start):  # type: ignore[no-untyped-def]
    """Where column `start` of rows i .. i + 4 is in `span`."""
    a, b, c = unsigned(at[i] + start), unsigned(at[i + 1] + start), unsigned(at[i + 2] + start)
    return a, b, c, unsigned(at[i + 3] + start), unsigned(at[i + 4] + start)


@inlined
def add_five(row, j, s0, s1, s2, s3, s4):  # type: ignore[no-untyped-def]
    """Add five sums to row[j] .. row[j + 4]."""
    row[j] += s0
    row[j + 1] += s1
    row[j + 2] += s2
    row[j + 3] += s3
    row[j + 4] += s4


@inlined
def square_of_five(span, at, i, j, start, size, total):  # type: ignore[no-untyped-def]
    """Add the products of rows i .. i + 4 with rows j .. j + 4."""
    a0, a1, a2, a3, a4 = five(at, i, start)
    b0, b1, b2, b3, b4 = five(at, j, start)
    s00 = s01 = s02 = s03 = s04 = s10 = s11 = s12 = s13 = s14 = 0.0
    s20 = s21 = s22 = s23 = s24 = s30 = s31 = s32 = s33 = s34 = 0.0
    s40 = s41 = s42 = s43 = s44 = 0.0
    for k in range(unsigned(size)):
        x0, x1, x2, x3, x4 = (
            wide(span[a0 + k]),
            wide(span[a1 + k]),
            wide(span[a2 + k]),
            wide(span[a3 + k]),
            wide(span[a4 + k]),
        )
        y0, y1, y2, y3, y4 = (
            wide(span[b0 + k]),
            wide(span[b1 + k]),
            wide(span[b2 + k]),
            wide(span[b3 + k]),
            wide(span[b4 + k]),
        )
        s00, s10, s20, s30, s40 = s00 + x0 * y0, s10 + x1 * y0, s20 + x2 * y0, s30 + x3 * y0, s40 + x4 * y0
        s01, s11, s21, s31, s41 = s01 + x0 * y1, s11 + x1 * y1, s21 + x2 * y1, s31 + x3 * y1, s41 + x4 * y1
        s02, s12, s22, s32, s42 = s02 + x0 * y2, s12 + x1 * y2, s22 + x2 * y2, s32 + x3 * y2, s42 + x4 * y2
        s03, s13, s23, s33, s43 = s03 + x0 * y3, s13 + x1 * y3, s23 + x2 * y3, s33 + x3 * y3, s43 + x4 * y3
        s04, s14, s24, s34, s44 = s04 + x0 * y4, s14 + x1 * y4, s24 + x2 * y4, s34 + x3 * y4, s44 + x4 * y4
    add_five(total[i], j, s00, s01, s02, s03, s04)
    add_five(total[i + 1], j, s10, s11, s12, s13, s14)
    add_five(total[i + 2], j, s20, s21, s22, s23, s24)
    add_five(total[i + 3], j, s30, s31, s32, s33, s34)
    add_five(total[i + 4], j, s40, s41, s42, s43, s44)


@inlined
def diagonal_of_five(span, at, i, start, size, total):  # type: ignore[no-untyped-def]
    """Add the products among rows i .. i + 4; those below the diagonal are left alone."""
    a0, a1, a2, a3, a4 = five(at, i, start)
    s00 = s01 = s02 = s03 = s04 = s11 = s12 = s13 = s14 = s22 = s23 = s24 = s33 = s34 = s44 = 0.0
    for k in range(unsigned(size)):
        x0, x1, x2, x3, x4 = (
            wide(span[a0 + k]),
            wide(span[a1 + k]),
            wide(span[a2 + k]),
            wide(span[a3 + k]),
            wide(span[a4 + k]),
        )
        s00, s01, s02, s03, s04 = s00 + x0 * x0, s01 + x0 * x1, s02 + x0 * x2, s03 + x0 * x3, s04 + x0 * x4
        s11, s12, s13, s14 = s11 + x1 * x1, s12 + x1 * x2, s13 + x1 * x3, s14 + x1 * x4
        s22, s23, s24 = s22 + x2 * x2, s23 + x2 * x3, s24 + x2 * x4
        s33, s34, s44 = s33 + x3 * x3, s34 + x3 * x4, s44 + x4 * x4
    add_five(total[i], i, s00, s01, s02, s03, s04)
    add_five(total[i + 1], i, 0.0, s11, s12, s13, s14)
    add_five(total[i + 2], i, 0.0, 0.0, s22, s23, s24)
    add_five(total[i + 3], i, 0.0, 0.0, 0.0, s33, s34)
    add_five(total[i + 4], i, 0.0, 0.0, 0.0, 0.0, s44)


@inlined
def four(at, i, start):  # type: ignore[no-untyped-def]
    """Where column `start` of rows i .. i + 3 is in `span`."""
    a, b = unsigned(at[i] + start), unsigned(at[i + 1] + start)
    return a, b, unsigned(at[i + 2] + start), unsigned(at[i + 3] + start)


@inlined
def add_four(row, j, s0, s1, s2, s3):  # type: ignore[no-untyped-def]
    """Add four sums to row[j] .. row[j + 3]."""
    row[j] += s0
    row[j + 1] += s1
    row[j + 2] += s2
    row[j + 3] += s3


@inlined
def square_of_four(span, at, i, j, start, size, total):  # type: ignore[no-untyped-def]
    """Add the products of rows i .. i + 3 with rows j .. j + 3."""
    a0, a1, a2, a3 = four(at, i, start)
    b0, b1, b2, b3 = four(at, j, start)
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = 0.0
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = 0.0
    for k in range(unsigned(size)):
        x0, x1, x2, x3 = wide(span[a0 + k]), wide(span[a1 + k]), wide(span[a2 + k]), wide(span[a3 + k])
        y0, y1, y2, y3 = wide(span[b0 + k]), wide(span[b1 + k]), wide(span[b2 + k]), wide(span[b3 + k])
        s00, s10, s20, s30 = s00 + x0 * y0, s10 + x1 * y0, s20 + x2 * y0, s30 + x3 * y0
        s01, s11, s21, s31 = s01 + x0 * y1, s11 + x1 * y1, s21 + x2 * y1, s31 + x3 * y1
        s02, s12, s22, s32 = s02 + x0 * y2, s12 + x1 * y2, s22 + x2 * y2, s32 + x3 * y2
        s03, s13, s23, s33 = s03 + x0 * y3, s13 + x1 * y3, s23 + x2 * y3, s33 + x3 * y3
    add_four(total[i], j, s00, s01, s02, s03)
    add_four(total[i + 1], j, s10, s11, s12, s13)
    add_four(total[i + 2], j, s20, s21, s22, s23)
    add_four(total[i + 3], j, s30, s31, s32, s33)


@inlined
def diagonal_of_four(span, at, i, start, size, total):  # type: ignore[no-untyped-def]
    """Add the products among rows i .. i + 3; those below the diagonal are left alone."""
    a0, a1, a2, a3 = four(at, i, start)
    s00 = s01 = s02 = s03 = s11 = s12 = s13 = s22 = s23 = s33 = 0.0
    for k in range(unsigned(size)):
        x0, x1, x2, x3 = wide(span[a0 + k]), wide(span[a1 + k]), wide(span[a2 + k]), wide(span[a3 + k])
        s00, s01, s02, s03 = s00 + x0 * x0, s01 + x0 * x1, s02 + x0 * x2, s03 + x0 * x3
        s11, s12, s13 = s11 + x1 * x1, s12 + x1 * x2, s13 + x1 * x3
        s22, s23, s33 = s22 + x2 * x2, s23 + x2 * x3, s33 + x3 * x3
    add_four(total[i], i, s00, s01, s02, s03)
    add_four(total[i + 1], i, 0.0, s11, s12, s13)
    add_four(total[i + 2], i, 0.0, 0.0, s22, s23)
    add_four(total[i + 3], i, 0.0, 0.0, 0.0, s33)


@inlined
def single(span, at, i, j, start, size, total):  # type: ignore[no-untyped-def]
    """Add the product of rows i and j."""
    a, b = unsigned(at[i] + start), unsigned(at[j] + start)
    s = 0.0
    for k in range(unsigned(size)):
        s += wide(span[a + k]) * wide(span[b + k])
    total[i, j] += s


@inlined
def add_chunk(span, at, tile, start, size, total):  # type: ignore[no-untyped-def]
    """Add the products of all rows, columns start .. start + size."""
    for i in range(0, at.size, tile):
        if tile == 5:
            diagonal_of_five(span, at, i, start, size, total)
        elif tile == 4:
            diagonal_of_four(span, at, i, start, size, total)
        else:
            single(span, at, i, i, start, size, total)
        for j in range(i + tile, at.size, tile):
            if tile == 5:
                square_of_five(span, at, i, j, start, size, total)
            elif tile == 4:
                square_of_four(span, at, i, j, start, size, total)
            else:
                single(span, at, i, j, start, size, total)


def gram_blocks(span, at, tile, columns, block, chunk, first, last, out):  # type: ignore[no-untyped-def]
    """out[b - first] <- Gram matrix [n, n] of columns b block .. (b + 1) block, for b in first .. last."""
    total = np.empty((at.size, at.size))
    for b in range(first, last):
        total[:] = 0.0
        stop = min((b + 1) * block, columns)
        for start in range(b * block, stop, chunk):
            add_chunk(span, at, tile, start, min(chunk, stop - start), total)
        result = out[b - first]
        for i in range(len(result)):
            for j in range(i, len(result)):
                result[i, j] = total[i, j]
                result[j, i] = total[i, j]


def add_blocks(blocks, out):  # type: ignore[no-untyped-def]
    """out [n, n] <- out + the matrices `blocks [b, n, n]`, one after the other."""
    for b in range(blocks.shape[0]):
        for i in range(out.shape[0]):
            source, target = blocks[b, i], out[i]
            for j in range(source.size):
                target[j] += source[j]
