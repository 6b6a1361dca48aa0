"""Compiled loops of the search for nearest rows: sift by rounded products, score exactly, keep the best.

Between them they hold the pairs (query, row) that may matter, row by row in order: `who` and `which`.
"""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.cache import compiled

CHUNK = 1024
"""Longest sum that is taken in the type of the rows; longer ones are sums of such sums."""


def _bases(rows, cosine, half, least, most, bases):  # type: ignore[no-untyped-def]
    """|r| (cosine) or half |r|^2 (euclidean) of rows [b, d]; NaN where the square may have lost bits.

    That is where |r|^2 is below `least` or above `most`, or not a number; but zeros are certain.
    """
    kind = bases.dtype.type
    for r in range(bases.size):
        row, square = rows[r], kind(0.0)
        if row.size <= CHUNK:
            for c in range(row.size):
                square += row[c] * row[c]
        else:
            for start in range(0, row.size, CHUNK):
                part, total = row[start : start + CHUNK], kind(0.0)
                for c in range(part.size):
                    total += part[c] * part[c]
                square += total
        base = np.sqrt(square) if cosine else half * square
        bases[r] = base if least <= square <= most else kind(np.nan)
        if square == 0:
            filled = 0  # 1e-30 squared is 0, too
            for c in range(row.size):
                filled += row[c] != 0
            # All products with zeros are 0; for the cosine any length will do to ask 0 < slope.
            if filled == 0:
                bases[r] = kind(1.0) if cosine else kind(0.0)


def _sift(bases, dots, allowed, first, slope, offset, who, which):  # type: ignore[no-untyped-def]
    """Write the pairs that the products `dots` [b, q] cannot rule out; return how many there are.

    Row r is ruled out for query j where dots[r, j] < bases[r] slope[j] + offset[j], so never with NaN.
    """
    masked, count = allowed.size > 0, 0
    for r in range(bases.size):
        dot, base, near = dots[r], bases[r], 0
        for j in range(slope.size):
            near += not dot[j] < base * slope[j] + offset[j]
        if near == 0:
            continue
        for j in range(slope.size):
            if not dot[j] < base * slope[j] + offset[j] and not (masked and not allowed[j, first + r]):
                who[count], which[count] = j, r
                count += 1
    return count


def _limits(best, lengths, sure, cosine, margin, least, slope, offset):  # type: ignore[no-untyped-def]
    """Set what rules a row out, when best[:, 0] are the k-th best scores so far; -inf if fewer are known.

    Cosine: a row at least as good as s has dot(unit, r) >= (s - margin) |r|. Euclidean: one as near as D has
    |q|^2 + |r|^2 - 2 q r <= D^2, where rounding may have added margin (|q|^2 + |r|^2) to the left side.
    """
    for j in range(slope.size):
        worst = best[j, 0]
        if not lengths[j] < np.inf:
            slope[j] = offset[j] = np.inf  # a query that is not finite has no neighbours
        elif cosine:
            # Nothing is better than the first k for a zero query: all are 0.
            slope[j] = worst - margin if lengths[j] > 0 or worst < 0 else np.inf
            offset[j] = 0.0
        else:
            square = worst * worst * (1 + margin) + least
            slope[j] = 1.0
            offset[j] = ((1 - margin) * lengths[j] * lengths[j] - square) / 2 if sure[j] else -np.inf


# The exact scores are sums of four, always in this order, whatever the machine and the layout of the rows.


def _cosine(queries, rows, lengths, who, which, scores):  # type: ignore[no-untyped-def]
    width = queries.shape[1]
    whole = width - width % 4
    for pair in range(scores.size):
        a, b = queries[who[pair]], rows[which[pair]]
        s0 = s1 = s2 = s3 = n0 = n1 = n2 = n3 = 0.0
        for c in range(0, whole, 4):
            b0, b1, b2, b3 = (
                np.float64(b[c]),
                np.float64(b[c + 1]),
                np.float64(b[c + 2]),
                np.float64(b[c + 3]),
            )
            s0, n0 = s0 + np.float64(a[c]) * b0, n0 + b0 * b0
            s1, n1 = s1 + np.float64(a[c + 1]) * b1, n1 + b1 * b1
            s2, n2 = s2 + np.float64(a[c + 2]) * b2, n2 + b2 * b2
            s3, n3 = s3 + np.float64(a[c + 3]) * b3, n3 + b3 * b3
        for c in range(whole, width):
            b0 = np.float64(b[c])
            s0, n0 = s0 + np.float64(a[c]) * b0, n0 + b0 * b0
        dot, norm = (s0 + s1) + (s2 + s3), lengths[who[pair]] * np.sqrt((n0 + n1) + (n2 + n3))
        if norm < np.inf:
            scores[pair] = dot / norm if norm > 0 else dot
        else:  # also NaN: a zero query and a row whose length overflowed
            scores[pair] = np.nan


def _euclidean(queries, rows, lengths, who, which, scores):  # type: ignore[no-untyped-def]
    width = queries.shape[1]
    whole = width - width % 4
    for pair in range(scores.size):
        a, b = queries[who[pair]], rows[which[pair]]
        s0 = s1 = s2 = s3 = 0.0
        for c in range(0, whole, 4):
            d0, d1 = np.float64(a[c]) - np.float64(b[c]), np.float64(a[c + 1]) - np.float64(b[c + 1])
            d2, d3 = np.float64(a[c + 2]) - np.float64(b[c + 2]), np.float64(a[c + 3]) - np.float64(b[c + 3])
            s0, s1, s2, s3 = s0 + d0 * d0, s1 + d1 * d1, s2 + d2 * d2, s3 + d3 * d3
        for c in range(whole, width):
            d0 = np.float64(a[c]) - np.float64(b[c])
            s0 += d0 * d0
        scores[pair] = -np.sqrt((s0 + s1) + (s2 + s3))


def _keep(scores, who, which, first, best, index):  # type: ignore[no-untyped-def]
    """Put finite scores into the heaps `best` and `index` [q, k], whose first entry is the worst of the kept.

    Among equals the larger index is worse; pairs come in ascending order of rows, so an equal one is late.
    """
    k = best.shape[1]
    for pair in range(scores.size):
        score, row = scores[pair], first + which[pair]
        heap, names = best[who[pair]], index[who[pair]]
        if not heap[0] < score < np.inf:
            continue
        place = 0
        while True:
            child = 2 * place + 1
            if child >= k:
                break
            other = child + 1
            if other < k and (
                heap[other] < heap[child] or (heap[other] == heap[child] and names[other] > names[child])
            ):
                child = other
            if heap[child] >= score:
                break
            heap[place], names[place] = heap[child], names[child]
            place = child
        heap[place], names[place] = score, row


bases = compiled(_bases, reorder=True)
sift = compiled(_sift, reorder=True)
limits = compiled(_limits)
cosine = compiled(_cosine)
euclidean = compiled(_euclidean)
keep = compiled(_keep)
