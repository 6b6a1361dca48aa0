"""Compiled pieces of `__init__.py`: Cholesky factors.

`order[:count]` are chosen rows, `upper` holds R in its upper triangle: R'R = matrix[order][:, order].
Inner loops run along rows and change one element each, so they vectorise without any change of the order
of a sum: the bits of a result do not depend on how wide the vectors of a machine are.
Imports numba: to be imported by the first call, not before.
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from mpidcl_kernels.base.types import Decorator

inlined: Decorator = register_jitable


@inlined
def subtract_rows(row, first, stop, upper, count):  # type: ignore[no-untyped-def]
    """row[first:stop] -= sum over k < count of upper[k, first] upper[k, first:stop], four rows at a time."""
    k = 0
    while k + 4 <= count:
        r0, r1, r2, r3 = upper[k], upper[k + 1], upper[k + 2], upper[k + 3]
        a0, a1, a2, a3 = r0[first], r1[first], r2[first], r3[first]
        for j in range(first, stop):
            row[j] -= (a0 * r0[j] + a1 * r1[j]) + (a2 * r2[j] + a3 * r3[j])
        k += 4
    while k < count:
        r0 = upper[k]
        a0 = r0[first]
        for j in range(first, stop):
            row[j] -= a0 * r0[j]
        k += 1


@inlined
def factor(matrix, order, count, tolerance, upper):  # type: ignore[no-untyped-def]
    """R of the rows `order[:count]`; what depends on earlier ones leaves `order`. Returns the count kept."""
    places = np.empty(count, np.int64)
    kept = 0
    for i in range(count):
        row, source = upper[kept], matrix[order[i]]
        for j in range(i, count):
            row[j] = source[order[j]]
        subtract_rows(row, i, count, upper, kept)
        if row[i] > tolerance:
            scale = 1.0 / math.sqrt(row[i])
            for j in range(i, count):
                row[j] *= scale
            places[kept] = i
            kept += 1
    if kept < count:
        for i in range(kept):
            order[i] = order[places[i]]
            for j in range(i, kept):
                upper[i, j] = upper[i, places[j]]
    return kept


@inlined
def forward(upper, count, right):  # type: ignore[no-untyped-def]
    """right[:count] <- solution y of R'y = right."""
    for k in range(count):
        row = upper[k]
        value = right[k] / row[k]
        right[k] = value
        for j in range(k + 1, count):
            right[j] -= row[j] * value


@inlined
def backward(upper, count, right):  # type: ignore[no-untyped-def]
    """right[:count] <- solution z of R z = right. Four partial sums, always the same four."""
    for i in range(count - 1, -1, -1):
        row = upper[i]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        j = i + 1
        while j + 4 <= count:
            s0 += row[j] * right[j]
            s1 += row[j + 1] * right[j + 1]
            s2 += row[j + 2] * right[j + 2]
            s3 += row[j + 3] * right[j + 3]
            j += 4
        while j < count:
            s0 += row[j] * right[j]
            j += 1
        right[i] = (right[i] - ((s0 + s1) + (s2 + s3))) / row[i]


@inlined
def slopes(matrix, target, order, count, values, out):  # type: ignore[no-untyped-def]
    """out <- matrix u - target, where u is `values[:count]` at `order[:count]` and 0 elsewhere."""
    n = target.shape[0]
    for j in range(n):
        out[j] = -target[j]
    k = 0
    while k + 4 <= count:
        r0, r1, r2, r3 = matrix[order[k]], matrix[order[k + 1]], matrix[order[k + 2]], matrix[order[k + 3]]
        a0, a1, a2, a3 = values[k], values[k + 1], values[k + 2], values[k + 3]
        for j in range(n):
            out[j] += (a0 * r0[j] + a1 * r1[j]) + (a2 * r2[j] + a3 * r3[j])
        k += 4
    while k < count:
        r0, a0 = matrix[order[k]], values[k]
        for j in range(n):
            out[j] += a0 * r0[j]
        k += 1


@inlined
def take_away(out, rows, count, values):  # type: ignore[no-untyped-def]
    """out -= sum over k < count of values[k] rows[k], four rows at a time."""
    k = 0
    while k + 4 <= count:
        r0, r1, r2, r3 = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        a0, a1, a2, a3 = values[k], values[k + 1], values[k + 2], values[k + 3]
        for j in range(out.shape[0]):
            out[j] -= (a0 * r0[j] + a1 * r1[j]) + (a2 * r2[j] + a3 * r3[j])
        k += 4
    while k < count:
        r0, a0 = rows[k], values[k]
        for j in range(out.shape[0]):
            out[j] -= a0 * r0[j]
        k += 1


@inlined
def multiply(rows, count, vector, out):  # type: ignore[no-untyped-def]
    """out[:count] <- products of `rows` with `vector`, four at a time: no sum waits for another."""
    n, k = vector.shape[0], 0
    while k < count:
        last = count - 1
        r0, r1, r2, r3 = rows[k], rows[min(k + 1, last)], rows[min(k + 2, last)], rows[min(k + 3, last)]
        even0, even1, even2, even3, odd0, odd1, odd2, odd3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(0, n - 1, 2):
            one, two = vector[j], vector[j + 1]
            even0 += r0[j] * one
            even1 += r1[j] * one
            even2 += r2[j] * one
            even3 += r3[j] * one
            odd0 += r0[j + 1] * two
            odd1 += r1[j + 1] * two
            odd2 += r2[j + 1] * two
            odd3 += r3[j + 1] * two
        sums = (even0 + odd0, even1 + odd1, even2 + odd2, even3 + odd3)
        for part in range(min(4, count - k)):
            row = rows[k + part]
            out[k + part] = sums[part] + (row[n - 1] * vector[n - 1] if n % 2 else 0.0)
        k += 4


@inlined
def square_root(matrix, tolerance, out):  # type: ignore[no-untyped-def]
    """out[:rank] <- A with A'A = matrix, by Cholesky steps on the largest diagonal left. Returns the rank.

    What is left of a matrix that is not positive semi-definite is dropped.
    """
    n = matrix.shape[0]
    left, unused, multiples = np.empty(n), np.empty(n), np.empty(n)
    for j in range(n):
        left[j], unused[j] = matrix[j, j], 1.0
    rank = 0
    for _ in range(n):
        p = 0
        for j in range(1, n):
            if left[j] > left[p]:
                p = j
        if left[p] <= tolerance:
            break
        row, source = out[rank], matrix[p]
        for j in range(n):
            row[j] = source[j]
        for k in range(rank):
            multiples[k] = out[k, p]
        take_away(row, out, rank, multiples)
        pivot = row[p]
        left[p], unused[p] = 0.0, 0.0
        if pivot > tolerance:
            scale = 1.0 / math.sqrt(pivot)
            for j in range(n):
                row[j] *= scale * unused[j]
                left[j] -= row[j] * row[j]
            row[p] = math.sqrt(pivot)
            rank += 1
    return rank
