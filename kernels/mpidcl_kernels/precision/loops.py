"""Compiled loops over symmetric matrices `[K, K]`, for `precision` and its parts.

Matrices are C-contiguous float64. Loops that look at both halves go through tiles of 8 x 8: eight lines of
cache, which stay there even when all rows fall into one set of it (K = 512: rows are 4096 bytes apart).
"""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.cache import compiled

TILE = 8
LARGEST = 1.7976931348623157e308
SMALLEST = 1e-300
"""Pivots below have no inverse in float64."""
ROUNDING = 2.2e-16
FAINT = 1e-12
"""What is left of 1 by a change of small rank, and still has some correct digits."""


def _mirror(matrix):  # type: ignore[no-untyped-def]
    """Copy the upper half onto the lower one."""
    size = matrix.shape[0]
    for top in range(0, size, TILE):
        for left in range(top, size, TILE):
            for i in range(top, min(top + TILE, size)):
                for j in range(max(left, i + 1), min(left + TILE, size)):
                    matrix[j, i] = matrix[i, j]


def _shrink_from_unit(matrix, scale):  # type: ignore[no-untyped-def]
    """matrix <- (I - matrix) / scale, from the upper half, both halves."""
    size = matrix.shape[0]
    for top in range(0, size, TILE):
        for left in range(top, size, TILE):
            for i in range(top, min(top + TILE, size)):
                for j in range(max(left, i), min(left + TILE, size)):
                    value = ((1.0 if i == j else 0.0) - matrix[i, j]) / scale
                    matrix[i, j] = value
                    matrix[j, i] = value


def _blend(first, second, a, b, out):  # type: ignore[no-untyped-def]
    """out <- symmetric part of a first + b second. `out` may be one of them."""
    size = first.shape[0]
    for top in range(0, size, TILE):
        for left in range(top, size, TILE):
            for i in range(top, min(top + TILE, size)):
                for j in range(max(left, i), min(left + TILE, size)):
                    one = a * first[i, j] + b * second[i, j]
                    other = a * first[j, i] + b * second[j, i]
                    out[i, j] = out[j, i] = 0.5 * one + 0.5 * other


def _add_outer(matrix, rows, sign, out):  # type: ignore[no-untyped-def]
    """out <- matrix + sign rows' rows, rows [r, K]. Elements ij and ji go through the same additions."""
    count, size = rows.shape
    for i in range(size):
        source, target = matrix[i], out[i]
        for j in range(size):
            target[j] = source[j]
        r = 0
        while r + 4 <= count:
            a, b, c, d = (
                sign * rows[r, i],
                sign * rows[r + 1, i],
                sign * rows[r + 2, i],
                sign * rows[r + 3, i],
            )
            p, q, s, t = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
            for j in range(size):
                target[j] = target[j] + a * p[j] + b * q[j] + c * s[j] + d * t[j]
            r += 4
        while r < count:
            a, p = sign * rows[r, i], rows[r]
            for j in range(size):
                target[j] = target[j] + a * p[j]
            r += 1


def _asymmetry(matrix):  # type: ignore[no-untyped-def]
    """(largest |a_ij - a_ji|, largest |a_ij|); NaN in the first when any element is not finite."""
    size = matrix.shape[0]
    gap = largest = total = 0.0
    for top in range(0, size, TILE):
        for left in range(top, size, TILE):
            for i in range(top, min(top + TILE, size)):
                for j in range(max(left, i), min(left + TILE, size)):
                    one, other = matrix[i, j], matrix[j, i]
                    gap = max(gap, abs(one - other))
                    largest = max(largest, abs(one), abs(other))
                    total += (one - one) + (other - other)  # zero, or NaN for ever
    return gap + total, largest


def _edge_laplacian(weights, degrees, laplacian):  # type: ignore[no-untyped-def]
    """laplacian <- sum of weights_kl b b' + 1 1'/K, b = e_k - e_l, over k < l in row order (upper half)."""
    size = laplacian.shape[0]
    degrees[:] = 0.0
    edge = 0
    for k in range(size):
        part, row, ends = weights[edge : edge + size - 1 - k], laplacian[k, k + 1 :], degrees[k + 1 :]
        total = 0.0
        for j in range(part.size):
            row[j] = 1.0 / size - part[j]
            ends[j] += part[j]
            total += part[j]
        laplacian[k, k] = 1.0 / size + (degrees[k] + total)
        edge += part.size


def _edge_lengths(matrix, diagonal, lengths):  # type: ignore[no-untyped-def]
    """lengths <- b' matrix b for every k < l in row order, from the upper half; `diagonal` is room for it."""
    size = matrix.shape[0]
    for k in range(size):
        diagonal[k] = matrix[k, k]
    edge = 0
    for k in range(size):
        own, row, ends = diagonal[k], matrix[k, k + 1 :], diagonal[k + 1 :]
        part = lengths[edge : edge + size - 1 - k]
        for j in range(part.size):
            part[j] = own + ends[j] - 2.0 * row[j]
        edge += part.size


def _edge_sum(matrix, values, out):  # type: ignore[no-untyped-def]
    """out <- matrix with the value of each pair k < l, in row order, added (upper half)."""
    size = matrix.shape[0]
    edge = 0
    for k in range(size):
        out[k, k] = matrix[k, k]
        source, target = matrix[k, k + 1 :], out[k, k + 1 :]
        part = values[edge : edge + size - 1 - k]
        for j in range(part.size):
            target[j] = source[j] + part[j]
        edge += part.size


def _edge_values(matrix, scale, values):  # type: ignore[no-untyped-def]
    """values <- scale times the element of each pair k < l, in row order."""
    size = matrix.shape[0]
    edge = 0
    for k in range(size):
        row = matrix[k, k + 1 :]
        part = values[edge : edge + size - 1 - k]
        for j in range(part.size):
            part[j] = scale * row[j]
        edge += part.size


def _all_finite(array):  # type: ignore[no-untyped-def]
    strange = 0
    for i in range(array.size):
        strange += 0 if abs(array[i]) <= LARGEST else 1
    return strange == 0


def _woodbury(solved, rows, sign, inner):  # type: ignore[no-untyped-def]
    """solved <- L^-1 solved, L L' = I + sign solved rows'; solved, rows [r, K]. False without such an L."""
    count, size = rows.shape
    for i in range(count):
        for j in range(i + 1):
            total = 0.0
            left, right = solved[i], rows[j]
            for k in range(size):
                total += left[k] * right[k]
            inner[i, j] = sign * total + (1.0 if i == j else 0.0)
    for i in range(count):
        for j in range(i + 1):
            total = inner[i, j]
            for k in range(j):
                total -= inner[i, k] * inner[j, k]
            if i > j:
                inner[i, j] = total / inner[j, j]
            elif total > FAINT:
                inner[i, i] = np.sqrt(total)
            else:
                return False
    for i in range(count):
        target, scale = solved[i], 1.0 / inner[i, i]
        for j in range(i):
            factor, source = inner[i, j], solved[j]
            for k in range(size):
                target[k] -= factor * source[k]
        for k in range(size):
            target[k] *= scale
    return True


def _logdet(means, ridge, out):  # type: ignore[no-untyped-def]
    """out <- (means' means / d + ridge I)^-1 by Gauss-Jordan, for a few tasks; means [d, K].

    Without pivoting, which is stable for a positive definite matrix. False where a pivot is not positive, or
    so much smaller than its element of the matrix that it holds rounding alone.
    """
    rows, size = means.shape
    least = np.empty(size)
    out[:] = 0.0
    for n in range(rows):
        row = means[n]
        for k in range(size):
            factor, target = row[k], out[k]
            for j in range(size):
                target[j] += factor * row[j]
    for k in range(size):
        for j in range(size):
            out[k, j] /= rows
        out[k, k] += ridge
        least[k] = max(size * ROUNDING * out[k, k], SMALLEST)
    for k in range(size):
        pivot, row = out[k, k], out[k]
        if not pivot > least[k]:
            return False
        row[k] = 1.0
        for j in range(size):
            row[j] /= pivot
        for i in range(size):
            if i != k:
                target = out[i]
                factor = target[k]
                target[k] = 0.0
                for j in range(size):
                    target[j] -= factor * row[j]
    for i in range(size):
        for j in range(i):
            out[i, j] = out[j, i]
    return True


def _root_shares(values, rows, eps):  # type: ignore[no-untyped-def]
    """values <- square roots of eigenvalues over their sum, rows <- eigenvectors / (value + eps)^(1/2).

    What rounding hides is zero, 1/K where all are. Returns (the sum, smallest value).
    """
    size = values.size
    hidden = size * 2e-15 * values.max()
    total = 0.0
    for i in range(size):
        values[i] = np.sqrt(values[i]) if values[i] > hidden else 0.0
        total += values[i]
    for i in range(size):
        values[i] = values[i] / total if total > 0.0 else 1.0 / size
        scale, row = 1.0 / np.sqrt(values[i] + eps), rows[i]
        for j in range(row.size):
            row[j] *= scale
    return total, values.min()


all_finite = compiled(_all_finite)
woodbury = compiled(_woodbury, reorder=True)
logdet = compiled(_logdet)
mirror = compiled(_mirror)
root_shares = compiled(_root_shares)
shrink_from_unit = compiled(_shrink_from_unit)
blend = compiled(_blend)
add_outer = compiled(_add_outer)
asymmetry = compiled(_asymmetry)
edge_laplacian = compiled(_edge_laplacian)
edge_lengths = compiled(_edge_lengths)
edge_sum = compiled(_edge_sum)
edge_values = compiled(_edge_values)
