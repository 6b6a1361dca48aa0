"""Compiled active-set methods of `__init__.py`. Imports numba: to be imported by the first call, not before.

All of it works on the scaled problem

    min over u >= 0 of 1/2 u'C u - b'u,   C_ij = G_ij / (a_i a_j),   b_i = sigma_i / a_i,   u_i = a_i nu_i

whose minimiser, divided by its sigma'nu, solves min 1/2 nu'G nu with sigma'nu = 1, nu >= 0. No diagonal
of C is above 1, so that rounding has one size everywhere, however unequal the rows are.
"""

from __future__ import annotations

import math

import numpy as np

from mpidcl_kernels.simplex.factor import backward, factor, forward, inlined, multiply, slopes, take_away

EPSILON = 2.0**-52


@inlined
def exchange_blocks(matrix, target, u):  # type: ignore[no-untyped-def]
    """Block principal pivoting (Kim and Park 2011, algorithm 2): change all wrong rows at once.

    Mostly right after a few factors of Gram space, O(n^3 / 6) each; where rows are close to dependent it
    may run in circles, so that rounds without improvement end it. Returns whether u is optimal. If not, u
    holds what was positive.
    """
    n = target.shape[0]
    order, upper = np.empty(n, np.int64), np.empty((n, n))
    values, slope, inside = np.empty(n), np.empty(n), np.empty(n, np.bool_)
    inside[:] = True
    fewest, chances = n + 1, 3
    while True:
        count = 0
        for j in range(n):
            if inside[j]:
                order[count] = j
                count += 1
        count = factor(matrix, order, count, 16.0 * EPSILON, upper)
        for i in range(count):
            values[i] = target[order[i]]
        forward(upper, count, values)
        backward(upper, count, values)
        slopes(matrix, target, order, count, values, slope)
        inside[:] = False
        u[:] = 0.0
        size, wrong = 0.0, 0
        for i in range(count):
            inside[order[i]] = True
            u[order[i]] = max(values[i], 0.0)
            size += abs(values[i])
        for j in range(n):
            if inside[j]:
                change = u[j] <= 0.0
            else:
                change = slope[j] < -(n + 64) * EPSILON * size
            if change:
                inside[j] = not inside[j]
                wrong += 1
        if wrong == 0:
            return True
        if wrong < fewest:
            fewest, chances = wrong, 3
        else:
            chances -= 1
            if chances == 0:
                return False


@inlined
def append(column, basis, upper, order, count, index):  # type: ignore[no-untyped-def]
    """Orthogonalise `column` against `basis[:count]`, twice, and add it. False: it depends on them."""
    m = column.shape[0]
    rest, products = basis[count], np.empty(count)
    rest[:] = column
    for i in range(count):
        upper[i, count] = 0.0
    for _ in range(2):
        multiply(basis, count, rest, products)
        take_away(rest, basis, count, products)
        for i in range(count):
            upper[i, count] += products[i]
    length = 0.0
    for k in range(m):
        length += rest[k] * rest[k]
    length = math.sqrt(length)
    if length <= 8.0 * EPSILON:
        return False
    for k in range(m):
        rest[k] /= length
    upper[count, count] = length
    order[count] = index
    return True


@inlined
def drop(basis, upper, order, count, place):  # type: ignore[no-untyped-def]
    """Take the column at `place` out: those after it are turned by Givens rotations."""
    m = basis.shape[1]
    rest, spare = np.empty(count), np.empty(m)
    for j in range(place + 1, count):
        rest[j] = upper[place, j]
    for k in range(m):
        spare[k] = basis[place, k]
    for i in range(place):
        row = upper[i]
        for j in range(place, count - 1):
            row[j] = row[j + 1]
    for i in range(place + 1, count):
        order[i - 1] = order[i]
        row, into = upper[i], upper[i - 1]
        length = math.sqrt(row[i] * row[i] + rest[i] * rest[i])
        c, s = row[i] / length, rest[i] / length
        for j in range(i, count):
            old, other = row[j], rest[j]
            into[j - 1] = c * old + s * other
            rest[j] = c * other - s * old
        one, new = basis[i], basis[i - 1]
        for k in range(m):
            old, other = one[k], spare[k]
            new[k] = c * old + s * other
            spare[k] = c * other - s * old


@inlined
def retreat(basis, upper, order, count, u, values):  # type: ignore[no-untyped-def]
    """Walk from u to the minimiser over the chosen columns, leaving out each that reaches zero."""
    last = basis.shape[1] - 1
    while True:
        for i in range(count):
            values[i] = basis[i, last]
        backward(upper, count, values)
        share, place = 1.0, -1
        for i in range(count):
            if values[i] <= 0.0:
                old = u[order[i]]
                reach = old / (old - values[i]) if old > 0.0 else 0.0
                if reach <= share:
                    share, place = reach, i
        for i in range(count):
            j = order[i]
            u[j] = values[i] if place < 0 else max(u[j] + share * (values[i] - u[j]), 0.0)
        if place < 0:
            return count
        u[order[place]] = 0.0
        drop(basis, upper, order, count, place)
        count -= 1


@inlined
def slopes_of_squares(stacked, basis, count, rest, scratch, slope):  # type: ignore[no-untyped-def]
    """slope <- -stacked' rest, rest <- e less its projection on the basis; e is the last unit vector."""
    m = stacked.shape[0]
    rest[:] = 0.0
    rest[m - 1] = 1.0
    for i in range(count):
        scratch[i] = basis[i, m - 1]
    take_away(rest, basis, count, scratch)
    slope[:] = 0.0
    take_away(slope, stacked, m, rest)


@inlined
def least_squares(stacked, u):  # type: ignore[no-untyped-def]
    """u <- argmin over u >= 0 of ||stacked u - e||, e the last unit vector, from the u given.

    Lawson and Hanson 1974, chapter 23, on orthogonal columns: d = A u is right to EPSILON where Gram
    space knows only its square, so that d = 0 is no special case. Returns whether it ended by itself.
    """
    m, n = stacked.shape
    width = min(m, n)
    columns, basis, upper = np.empty((n, m)), np.empty((width + 1, m)), np.empty((width + 1, width + 1))
    order, values, rest = np.empty(width + 1, np.int64), np.empty(width + 1), np.empty(m)
    slope, blocked = np.empty(n), np.empty(n, np.bool_)
    blocked[:] = False
    count = 0
    for j in range(n):
        for k in range(m):
            columns[j, k] = stacked[k, j]
        if u[j] > 0.0:
            if count < width and append(columns[j], basis, upper, order, count, j):
                count += 1
            else:
                u[j] = 0.0
    count = retreat(basis, upper, order, count, u, values)
    for _ in range(20 * n + 20):
        slopes_of_squares(stacked, basis, count, rest, values, slope)
        index, least = -1, -(m + 16) * EPSILON
        for j in range(n):
            if slope[j] < least and u[j] == 0.0 and not blocked[j]:
                index, least = j, slope[j]
        if index < 0:
            return True
        # Only rounding can make a row useless that would help: it waits until another one has moved.
        blocked[index] = True
        if count < width and append(columns[index], basis, upper, order, count, index):
            count = retreat(basis, upper, order, count + 1, u, values)
            if u[index] > 0.0:
                blocked[:] = False
    return False
