"""The compiled loops of `average`: blocks of a range, and what stands in where an array has nothing.

`table [n, 5]` of int64 says of every array where its values are, for which places, and its Fisher
information; the columns are named below. An array that covers a block is read where it lies. Else its values
are put into `scratch`, over what stands in: row `own` of the table, or zeros when `own` is -1.
Imports numba, so this is imported when a kernel is first used.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import register_jitable

from mpidcl_kernels.average.parts import BLOCK, FISHER_MEAN, MEAN
from mpidcl_kernels.average.vectors import (
    LINE,
    fisher_mean_of_rows,
    fisher_sums_of_rows,
    mean_of_rows,
    pointer,
)
from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.base.types import Inlined

STREAMS = 8
"""Arrays that are read side by side: with twice as many, caches and prefetchers lose a third of the speed."""
carray: Inlined = numba.carray  # type: ignore[attr-defined]
VALUES, START, SIZE, INDEX, FISHER = range(5)
"""Address; first place, of `SIZE` places in a row; address of int64 places, or 0; address, or 0."""


def _part(values, like, table, j, fill, scratch, kind, low, high):  # type: ignore[no-untyped-def]
    """Address of what array j, whose values are at `values`, has for the places low..high.

    `fill` is the address of what stands in, for place 0; 0: zeros. `kind`: 0 for values, 1 for Fisher.
    """
    if scratch.size == 0:  # all arrays are whole
        return values + low * like.itemsize
    start, size, index = table[j, START], table[j, SIZE], table[j, INDEX]
    if index == 0 and values != 0 and start <= low and high <= start + size:
        return values + (low - start) * like.itemsize
    nothing = values == 0 or (index == 0 and (high <= start or start + size <= low))
    if nothing and fill != 0:
        return fill + low * like.itemsize
    row = scratch[kind, j, : high - low]
    if fill == 0:
        row[:] = 0
    else:
        row[:] = carray(pointer(fill + low * like.itemsize), row.size, like.dtype)
    if nothing:
        return row.ctypes.data
    if index == 0:
        first, last = max(low, start), min(high, start + size)
        if first < last:
            theirs = carray(pointer(values + (first - start) * like.itemsize), last - first, like.dtype)
            row[first - low : last - low] = theirs
        return row.ctypes.data
    places = carray(pointer(index), size, np.int64)
    theirs = carray(pointer(values), size, like.dtype)
    k = np.searchsorted(places, low)
    while k < size and places[k] < high:
        row[places[k] - low] = theirs[k]
        k += 1
    return row.ctypes.data


def _block_end(low, high, out, itemsize, stream):  # type: ignore[no-untyped-def]
    """Where the block from `low` on ends; a first short one lets all others start at a cache line."""
    over = (out + low * itemsize) % LINE
    if stream and over:
        return min(high, low + (LINE - over) // itemsize)
    return min(high, low + BLOCK)


part: Inlined = register_jitable(_part)
block_end: Inlined = register_jitable(_block_end)


def _average(method, like, table, weights, eps, own, scratch, outs, stream, low, high):  # type: ignore[no-untyped-def]
    """The results of `method` for the places low..high, to the addresses `outs` (those of place 0)."""
    n, group = len(table), STREAMS if method == MEAN else STREAMS // 2
    rows, to = np.empty((2, n), np.int64), np.empty(len(outs), np.int64)
    sums = np.empty((3, BLOCK if n > group else 0))
    fill = table[own, VALUES] if own >= 0 else 0
    while low < high:
        end = block_end(low, high, outs[0], like.itemsize, stream)
        past = stream
        for k in range(len(outs)):
            to[k] = outs[k] + low * like.itemsize
            past = past and to[k] % LINE == 0
        for j in range(n):
            rows[0, j] = part(table[j, VALUES], like, table, j, fill, scratch, 0, low, end)
            if method != MEAN:
                rows[1, j] = part(table[j, FISHER], like, table, j, 0, scratch, 1, low, end)
        for first in range(0, n, group):
            last, size = min(n, first + group), end - low
            if method == MEAN:
                mean_of_rows(like, rows, weights, eps, sums, to, first, last, size, past)
            elif method == FISHER_MEAN:
                fisher_mean_of_rows(like, rows, weights, eps, sums, to, first, last, size, past)
            else:
                fisher_sums_of_rows(like, rows, weights, eps, sums, to, first, last, size, past)
        low = end


def _distance(like, own, table, sums, low, high):  # type: ignore[no-untyped-def]
    """Adds to `sums [n]` the absolute differences of x and each array at its places in low..high."""
    x = carray(pointer(own), high, like.dtype)
    for begin in range(low, high, BLOCK):
        end = min(high, begin + BLOCK)
        for j in range(len(table)):
            values, start, size = table[j, VALUES], table[j, START], table[j, SIZE]
            theirs = carray(pointer(values), size, x.dtype)
            total = 0.0
            if table[j, INDEX] == 0:
                first, last = max(begin, start), min(end, start + size)
                if first < last:
                    mine, other = x[first:last], theirs[first - start : last - start]
                    for i in range(mine.size):
                        total += abs(np.float64(mine[i]) - np.float64(other[i]))
            else:
                places = carray(pointer(table[j, INDEX]), size, np.int64)
                k = np.searchsorted(places, begin)
                while k < size and places[k] < end:
                    total += abs(np.float64(x[places[k]]) - np.float64(theirs[k]))
                    k += 1
            sums[j] += total


average = compiled(_average)
distance = compiled(_distance, reorder=True)
