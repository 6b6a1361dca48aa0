"""Compiled entry of `__init__.py`. Imports numba: to be imported by the first call, not before.

With v = lower + w it is: min over w >= 0 of 1/2 w'G w + (G lower)'w, in rows scaled to length 1 as in
`simplex/active.py`.
"""

from __future__ import annotations

import math

import numpy as np

from mpidcl_kernels.simplex.active import EPSILON, exchange_blocks, least_squares
from mpidcl_kernels.simplex.factor import inlined, square_root
from mpidcl_kernels.simplex.loops import (
    INDEFINITE,
    NOISE,
    PROOF,
    SOLVED,
    UNSOLVED,
    largest,
    normalised,
    times,
    total,
    unlike,
)


@inlined
def proven(matrix, sizes, lower, v, tolerance):  # type: ignore[no-untyped-def]
    """True when v >= lower and (G v)_i >= 0 for all i, with equality where v_i > lower_i.

    `sizes[i]`: the scale of the rounding of row i.
    """
    slope = np.empty(v.shape[0])
    times(matrix, v, slope)
    allowed = tolerance * total(sizes, v)
    for i in range(v.shape[0]):
        bound = allowed * sizes[i]
        if not (v[i] >= lower[i] and slope[i] >= -bound and (v[i] == lower[i] or slope[i] <= bound)):
            return False
    return True


@inlined
def raised(u, scale, sizes, lower, v):  # type: ignore[no-untyped-def]
    """v <- lower + scale u / sizes."""
    for i in range(v.shape[0]):
        v[i] = lower[i] + scale * u[i] / sizes[i]


@inlined
def turn(stacked, rank, start):  # type: ignore[no-untyped-def]
    """Turn the columns of stacked[:rank] so that -(stacked start) points along the last axis.

    A Householder reflection, in place; returns the length of that vector.
    """
    n = start.shape[0]
    axis = np.empty(rank)
    for k in range(rank):
        axis[k] = -total(stacked[k], start)
    length = math.sqrt(total(axis, axis))
    if length == 0.0:
        return length
    # Away from the last axis, so that nothing cancels; a reflection onto its other end is negated below.
    sign = 1.0 if axis[rank - 1] >= 0.0 else -1.0
    axis[rank - 1] += sign * length
    half = 0.5 * total(axis, axis)
    for j in range(n):
        product = 0.0
        for k in range(rank):
            product += axis[k] * stacked[k, j]
        product /= half
        for k in range(rank):
            stacked[k, j] = -sign * (stacked[k, j] - product * axis[k])
    return length


@inlined
def project(matrix, lengths, lower, v):  # type: ignore[no-untyped-def]
    """v <- argmin v'G v with v >= lower, for one `lower`. Attempts as in `simplex.loops.solve`."""
    n = v.shape[0]
    scaled, stacked = np.empty((n, n)), np.empty((n, n))
    sizes, start, target, u = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    noise = 0.0
    v[:] = lower
    if largest(lengths) == 0.0:
        return SOLVED
    for attempt in range(3):
        for i in range(n):
            sizes[i] = lengths[i] if attempt == 0 and lengths[i] > 0.0 else largest(lengths)
            start[i] = lower[i] * sizes[i]
        scales = sizes if attempt else lengths  # rows of zeros have no rounding, whatever they are divided by
        if proven(matrix, scales, lower, v, PROOF):
            return SOLVED
        size = largest(start)
        for i in range(n):
            start[i] /= size
            for j in range(n):
                scaled[i, j] = matrix[i, j] / (sizes[i] * sizes[j])
        times(scaled, start, target)
        for i in range(n):
            target[i] = -target[i]
        if exchange_blocks(scaled, target, u):
            raised(u, size, sizes, lower, v)
            if proven(matrix, scales, lower, v, PROOF):
                return SOLVED
        rank = square_root(scaled, n * EPSILON if attempt < 2 else 0.1 * NOISE, stacked)
        if attempt == 2:
            noise = unlike(scaled, stacked[:rank])
        length = turn(stacked, rank, start)
        if length == 0.0:
            u[:] = 0.0
        else:
            for i in range(n):
                u[i] /= length
            least_squares(stacked[:rank], u)
        raised(u, size * length, sizes, lower, v)
        if proven(matrix, scales, lower, v, PROOF):
            return SOLVED
    if noise > NOISE:
        return INDEFINITE
    return SOLVED if proven(matrix, sizes, lower, v, 4.0 * n * max(noise, EPSILON)) else UNSOLVED


def cone(gram, lower, asymmetry, out):  # type: ignore[no-untyped-def]
    """out[k] <- weights for lower[k]. Returns a status; `out` holds nothing unless that is SOLVED."""
    n = gram.shape[0]
    matrix, lengths = np.empty((n, n)), np.empty(n)
    status = normalised(gram, asymmetry, matrix)
    if status != SOLVED:
        return status
    for i in range(n):
        lengths[i] = math.sqrt(max(matrix[i, i], 0.0))
    for k in range(lower.shape[0]):
        status = project(matrix, lengths, lower[k], out[k])
        if status != SOLVED:
            return status
    return SOLVED
