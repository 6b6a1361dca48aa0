"""Compiled loops of `sparse`: counting and collecting the scores above a limit, and moving chosen values.

A score is `a[i]`, or `|a[i] - b[i]|` when `change`; NaN counts as infinity. Scores are made for a chunk that
stays in the nearest cache, so that the loops after it do not care where they come from.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpidcl_kernels.base.cache import compiled

PIECE = 65_536
"""Scores per piece of work: fixed, so that nothing depends on the number of threads."""
CHUNK = 1024


def _count(a, b, change, limit, first, last, counts):  # type: ignore[no-untyped-def]
    """counts [pieces, 2]: scores of each piece above `limit`, and equal to it."""
    scores = np.empty(CHUNK, a.dtype)
    for piece in range(first, last):
        above, equal = np.int64(0), np.int64(0)
        for start in range(piece * PIECE, min((piece + 1) * PIECE, a.size), CHUNK):
            part, other = a[start : start + CHUNK], b[start : start + CHUNK]
            for j in range(part.size):
                score = abs(part[j] - other[j]) if change else part[j]
                scores[j] = np.inf if score != score else score
            here, same = np.int32(0), np.int32(0)  # 32 bits: as wide as a score, which vectorises
            for j in range(part.size):
                here += np.int32(scores[j] > limit)
                same += np.int32(scores[j] == limit)
            above += here
            equal += same
        counts[piece, 0], counts[piece, 1] = above, equal


def _collect(a, b, change, limit, quotas, ends, first, last, positions, values):  # type: ignore[no-untyped-def]
    """Positions and scores of all above `limit` and of the first `quotas[piece]` equal to it, ascending.

    Those of piece p go to the places ends[p] .. ends[p + 1].
    """
    scores, flags = np.empty(CHUNK, a.dtype), np.zeros(CHUNK, np.uint8)
    words = flags.view(np.uint64)
    one, packing, top_byte = np.uint64(1), np.uint64(0x0102040810204080), np.uint64(56)
    for piece in range(first, last):
        n, left = ends[piece], quotas[piece]
        for start in range(piece * PIECE, min((piece + 1) * PIECE, a.size), CHUNK):
            part, other = a[start : start + CHUNK], b[start : start + CHUNK]
            for j in range(part.size):
                score = abs(part[j] - other[j]) if change else part[j]
                scores[j] = np.inf if score != score else score
            for j in range(part.size):
                flags[j] = scores[j] > limit
            if left > 0:
                for j in range(part.size):
                    if left > 0 and scores[j] == limit:
                        flags[j] = 1
                        left -= 1
            flags[part.size :] = 0
            # 64 flags in one word: its loop ends unforeseen once per 64 scores, not at every score.
            for c in range(0, CHUNK, 64):
                chosen = np.uint64(0)
                for w in range(8):  # the product has the flag of byte j in bit j of its top byte
                    packed = np.uint64(np.uint64(words[c // 8 + w] * packing) >> top_byte)
                    chosen = np.uint64(chosen | np.uint64(packed << np.uint64(8 * w)))
                while chosen != 0:
                    lowest = np.uint64(chosen & np.uint64(~chosen + one))
                    at = c + (np.float64(lowest).view(np.int64) >> 52) - 1023  # the exponent of 2^j
                    positions[n], values[n] = start + at, scores[at]
                    n += 1
                    chosen = np.uint64(chosen ^ lowest)


def _trim(values, positions, limit, equal):  # type: ignore[no-untyped-def]
    """Move to the front the positions of values above `limit`, and of the first `equal` that are `limit`."""
    n = 0
    for i in range(values.size):
        same = (values[i] == limit) & (equal > 0)
        positions[n] = positions[i]  # n <= i; stored whether it stays or not: no branch to guess
        n += (values[i] > limit) | same
        equal -= same


def _low(values, limit, out):  # type: ignore[no-untyped-def]
    """Move the values that are at most `limit` to the front of `out`, which has one place more than these."""
    n = 0
    for i in range(values.size):
        out[n] = values[i]
        n += values[i] <= limit


def _gather(vector, positions, out):  # type: ignore[no-untyped-def]
    for i in range(positions.size):
        out[i] = vector[np.int64(positions[i])]


def _add(target, positions, values, scale):  # type: ignore[no-untyped-def]
    for i in range(positions.size):
        target[np.int64(positions[i])] += scale * values[i]


def _set(target, positions, values):  # type: ignore[no-untyped-def]
    for i in range(positions.size):
        target[np.int64(positions[i])] = values[i]


count: Callable[..., None] = compiled(_count)
collect: Callable[..., None] = compiled(_collect)
trim: Callable[..., None] = compiled(_trim)
low: Callable[..., None] = compiled(_low)
gather: Callable[..., None] = compiled(_gather)
add: Callable[..., None] = compiled(_add)
put: Callable[..., None] = compiled(_set)
