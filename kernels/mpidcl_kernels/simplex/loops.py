"""Compiled entry of `__init__.py`: checks, floors, the scaled problem and the proof of its answer.

Imports numba: to be imported by the first call, not before.
"""

from __future__ import annotations

import math

import numpy as np

from mpidcl_kernels.simplex.active import EPSILON, exchange_blocks, least_squares
from mpidcl_kernels.simplex.factor import inlined, square_root

SOLVED, NOT_FINITE, NOT_SYMMETRIC, BAD_SIGMA, BAD_FLOOR, NO_ROOM, INDEFINITE, UNSOLVED = range(8)
PROOF = 1e-12  # what the optimality conditions may miss, relative to the largest row
NOISE = 1e-5  # what rounding may do to G, relative to its largest element, by sums in float32


@inlined
def normalised(gram, asymmetry, out):  # type: ignore[no-untyped-def]
    """out <- symmetric part of `gram` over its largest element (0 if that is 0). Returns a status.

    The largest element of a positive semi-definite matrix is on its diagonal; more is not tested here.
    """
    n = gram.shape[0]
    most = 0.0
    for i in range(n):
        row = gram[i]
        for j in range(n):
            size = abs(row[j])
            if not size < np.inf:
                return NOT_FINITE
            most = max(most, size)
    if most == 0.0:
        out[:] = 0.0
        return SOLVED
    worst, longest, shortest = 0.0, 0.0, np.inf
    for i in range(n):
        longest, shortest = max(longest, gram[i, i]), min(shortest, gram[i, i])
        for j in range(i + 1):
            low, high = gram[i, j] / most, gram[j, i] / most
            worst = max(worst, abs(low - high))
            middle = 0.5 * (low + high)
            out[i, j] = middle
            out[j, i] = middle
    if worst > asymmetry:
        return NOT_SYMMETRIC
    return INDEFINITE if shortest < -NOISE * most or longest < (1.0 - NOISE) * most else SOLVED


@inlined
def times(matrix, values, out):  # type: ignore[no-untyped-def]
    """out <- matrix values, for a symmetric matrix."""
    out[:] = 0.0
    for i in range(values.shape[0]):
        row, value = matrix[i], values[i]
        if value != 0.0:
            for j in range(out.shape[0]):
                out[j] += value * row[j]


@inlined
def total(left, right):  # type: ignore[no-untyped-def]
    """Sum of left_i right_i, in order."""
    result = 0.0
    for i in range(left.shape[0]):
        result += left[i] * right[i]
    return result


@inlined
def largest(values):  # type: ignore[no-untyped-def]
    """The largest of `values`, which are not empty."""
    result = values[0]
    for i in range(1, values.shape[0]):
        result = max(result, values[i])
    return result


@inlined
def divide(values, by):  # type: ignore[no-untyped-def]
    """Divide `values` by a number, in place."""
    for i in range(values.shape[0]):
        values[i] /= by


@inlined
def proven(matrix, sigma, sizes, nu, tolerance):  # type: ignore[no-untyped-def]
    """True when sigma'nu = 1 and (G nu)_i >= sigma_i nu'G nu for all i, with equality where nu_i > 0."""
    slope = np.empty(nu.shape[0])
    times(matrix, nu, slope)
    squared = total(nu, slope)
    if not abs(total(sigma, nu) - 1.0) <= PROOF:
        return False
    allowed = 0.0
    for i in range(nu.shape[0]):
        allowed += nu[i]
    allowed *= tolerance * largest(sizes) ** 2
    for i in range(nu.shape[0]):
        miss = slope[i] - sigma[i] * squared
        if not (miss >= -allowed and (nu[i] == 0.0 or miss <= allowed)):
            return False
    return True


@inlined
def share_of_zeros(matrix, sigma, sizes, nu):  # type: ignore[no-untyped-def]
    """Rows of zeros reach the minimum, 0: they share the weight. Returns whether there are any."""
    shared = 0.0
    for i in range(nu.shape[0]):
        nu[i] = 1.0 if matrix[i, i] <= 4.0 * EPSILON * sizes[i] * sizes[i] else 0.0
        shared += sigma[i] * nu[i]
    if shared > 0.0:
        divide(nu, shared)
    return shared > 0.0


@inlined
def unscaled(u, sigma, sizes, nu):  # type: ignore[no-untyped-def]
    """nu <- u / sizes, with sigma'nu = 1."""
    for i in range(nu.shape[0]):
        nu[i] = u[i] / sizes[i]
    divide(nu, total(sigma, nu))


@inlined
def unlike(matrix, root):  # type: ignore[no-untyped-def]
    """Largest element of matrix - root'root."""
    worst, left = 0.0, np.empty(matrix.shape[0])
    for i in range(matrix.shape[0]):
        for j in range(left.shape[0]):
            left[j] = matrix[i, j]
        for k in range(root.shape[0]):
            row, value = root[k], root[k, i]
            for j in range(left.shape[0]):
                left[j] -= value * row[j]
        for j in range(left.shape[0]):
            worst = max(worst, abs(left[j]))
    return worst


@inlined
def solve(matrix, sigma, sizes, nu):  # type: ignore[no-untyped-def]
    """nu <- argmin nu'G nu with sigma'nu = 1, nu >= 0. `sizes[i]`: the scale of the rounding of row i.

    In Gram space where that proves good enough, else on a square root of the matrix. The second attempt is
    for matrices in which rounding of large rows has spoilt small ones, the third for sums in float32.
    """
    n = nu.shape[0]
    scaled, stacked, target, u = np.empty((n, n)), np.empty((0, n)), np.empty(n), np.empty(n)
    for attempt in range(3):
        if attempt:
            sizes[:] = largest(sizes)
        elif share_of_zeros(matrix, sigma, sizes, nu):
            if proven(matrix, sigma, sizes, nu, PROOF):
                return SOLVED
            continue
        for i in range(n):
            row, into = matrix[i], scaled[i]
            target[i] = sigma[i] / sizes[i]
            for j in range(n):
                into[j] = row[j] / (sizes[i] * sizes[j])
        divide(target, largest(target))
        if exchange_blocks(scaled, target, u):
            unscaled(u, sigma, sizes, nu)
            if proven(matrix, sigma, sizes, nu, PROOF):
                return SOLVED
        if not len(stacked):  # memory that most calls do not need
            stacked = np.empty((n + 1, n))
        rank = square_root(scaled, n * EPSILON if attempt < 2 else 0.1 * NOISE, stacked)
        stacked[rank] = target
        ended = least_squares(stacked[: rank + 1], u)
        unscaled(u, sigma, sizes, nu)
        if ended and proven(matrix, sigma, sizes, nu, PROOF):
            return SOLVED
    noise = unlike(scaled, stacked[:rank])
    if noise > NOISE:
        return INDEFINITE
    return SOLVED if ended and proven(matrix, sigma, sizes, nu, 4.0 * n * noise) else UNSOLVED


@inlined
def lift(gram, sigma, floor, slack, moved, sizes):  # type: ignore[no-untyped-def]
    """moved <- Gram matrix of slack g_i + sigma_i sum_j floor_j g_j; sizes <- the scale of its rounding."""
    n = gram.shape[0]
    lifted = np.empty(n)
    times(gram, floor, lifted)
    squared = max(total(floor, lifted), 0.0)
    longest = 0.0  # that the sum of floor_j g_j could be
    for i in range(n):
        sizes[i] = math.sqrt(max(gram[i, i], 0.0))
        longest += floor[i] * sizes[i]
    for i in range(n):
        sizes[i] = slack * sizes[i] + sigma[i] * longest
    if slack == 1.0:  # no floor: `moved` is `gram` itself
        return
    for i in range(n):
        for j in range(n):
            cross = sigma[j] * lifted[i] + sigma[i] * lifted[j]
            moved[i, j] = slack * (slack * gram[i, j] + cross) + sigma[i] * sigma[j] * squared


@inlined
def loses_descent(gram, weights):  # type: ignore[no-untyped-def]
    """True when min_i (G lambda)_i < 0, by more than rounding."""
    n = weights.shape[0]
    slope = np.empty(n)
    times(gram, weights, slope)
    size = 0.0
    for i in range(n):
        size += math.sqrt(max(gram[i, i], 0.0)) * weights[i]
    for i in range(n):  # noqa: SIM110  # numba compiles no generator
        if slope[i] < -4.0 * n * EPSILON * size * math.sqrt(max(gram[i, i], 0.0)):
            return True
    return False


@inlined
def checked(sigma, floor, floors):  # type: ignore[no-untyped-def]
    """floors <- `floor`, of one value or n. Returns (status, what the floors leave of sigma'lambda = 1)."""
    for i in range(sigma.shape[0]):
        if not 0.0 < sigma[i] < np.inf:
            return BAD_SIGMA, 0.0
        floors[i] = floor[i if floor.shape[0] > 1 else 0]
        if not 0.0 <= floors[i] < np.inf:
            return BAD_FLOOR, 0.0
    slack = 1.0 - total(sigma, floors)
    rounding = 4.0 * sigma.shape[0] * EPSILON
    return (NO_ROOM if slack < -rounding else SOLVED), (slack if slack > rounding else 0.0)


def elastic(gram, sigma, floor, safe, asymmetry, out):  # type: ignore[no-untyped-def]
    """out <- weights. Returns a status; `out` holds nothing unless that is SOLVED."""
    n = out.shape[0]
    scaled, floors, sizes = np.empty((n, n)), np.empty(n), np.empty(n)
    status = normalised(gram, asymmetry, scaled)
    if status != SOLVED:
        return status
    status, slack = checked(sigma, floor, floors)
    if status != SOLVED:
        return status
    while True:
        moved = scaled if slack == 1.0 else np.empty((n, n))
        lift(scaled, sigma, floors, slack, moved, sizes)
        out[:] = 0.0
        if slack > 0.0:
            status = solve(moved, sigma, sizes, out)
        for i in range(n):
            out[i] = floors[i] + slack * out[i]
        if status != SOLVED or slack == 1.0 or not (safe and loses_descent(scaled, out)):
            return status
        floors[:] = 0.0
        slack = 1.0
