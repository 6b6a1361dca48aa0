"""The compiled loop behind `combine_rows`.

What counts is how rows come from memory. Ten rows in turn, 128 columns of each, are ten streams that the
processor fetches ahead; longer turns restart its streams, and more rows are more than it follows (measured on
Zen 4: 10 x 11,000,000 float32 take 14 ms so, 21 ms in turns of 2048; reading alone takes 13 ms).

Imports numba: import it when the first call comes, not before. All that is compiled into `combine` is in this
file, because numba takes it from its cache for as long as this file has not changed.
"""

from __future__ import annotations

import numba
import numpy as np

from mpidcl_kernels.base.types import Decorator

TURN = 512
"""Bytes of one row before the next row comes; more when rows are few."""
TOGETHER = 10
"""Rows that take turns."""
STRIP = 16384
"""Columns whose sums are kept while all rows are added, when there are more than take turns."""
inlined: Decorator = numba.njit(nogil=True, error_model="numpy")
wide = np.float64
unsigned = np.uint64  # as an index it cannot mean "from the end", so that the compiler vectorises


@inlined
def add_five(span, at, weights, i, start, total, offset, size):  # type: ignore[no-untyped-def]
    """total[offset ..] <- it + weighted rows i .. i + 4, `size` columns from `start` on, in this order."""
    w0, w1, w2, w3, w4 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3], weights[i + 4]
    a, b, c = unsigned(at[i] + start), unsigned(at[i + 1] + start), unsigned(at[i + 2] + start)
    d, e, t = unsigned(at[i + 3] + start), unsigned(at[i + 4] + start), unsigned(offset)
    for k in range(unsigned(size)):
        s = total[t + k] + w0 * wide(span[a + k]) + w1 * wide(span[b + k]) + w2 * wide(span[c + k])
        total[t + k] = s + w3 * wide(span[d + k]) + w4 * wide(span[e + k])


@inlined
def add_two(span, at, weights, i, start, total, offset, size):  # type: ignore[no-untyped-def]
    """The same with rows i and i + 1."""
    w0, w1, t = weights[i], weights[i + 1], unsigned(offset)
    a, b = unsigned(at[i] + start), unsigned(at[i + 1] + start)
    for k in range(unsigned(size)):
        total[t + k] = total[t + k] + w0 * wide(span[a + k]) + w1 * wide(span[b + k])


@inlined
def add_one(span, at, weights, i, start, total, offset, size):  # type: ignore[no-untyped-def]
    """The same with row i."""
    weight, a, t = weights[i], unsigned(at[i] + start), unsigned(offset)
    for k in range(unsigned(size)):
        total[t + k] += weight * wide(span[a + k])


def combine(span, at, weights, first, last, out):  # type: ignore[no-untyped-def]
    """out[first .. last] <- sum over i of weights[i] row i: in order of i, in float64, rounded once."""
    n, kind = weights.size, span.dtype.type
    turn = TURN // span.itemsize * max(1, min(4, TOGETHER // max(n, 1)))
    strip = turn if n <= TOGETHER + 2 else STRIP
    total = np.empty(strip)
    for start in range(first, last, strip):
        size = min(strip, last - start)
        total[:size] = 0.0
        for begin in range(0, n, TOGETHER):
            end = min(begin + TOGETHER, n)
            fives = begin + (end - begin) // 5 * 5
            twos = fives + (end - fives) // 2 * 2
            for offset in range(0, size, turn):
                columns = min(turn, size - offset)
                for i in range(begin, fives, 5):
                    add_five(span, at, weights, i, start + offset, total, offset, columns)
                for i in range(fives, twos, 2):
                    add_two(span, at, weights, i, start + offset, total, offset, columns)
                if twos < end:
                    add_one(span, at, weights, twos, start + offset, total, offset, columns)
        o = unsigned(start)
        for k in range(unsigned(size)):
            out[o + k] = kind(total[k])
