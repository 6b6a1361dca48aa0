"""A tick of one node, as a part of compiled loops and alone. See `node.py`."""

from __future__ import annotations

import numba

from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.base.types import Decorator

inlined: Decorator = numba.njit(nogil=True, error_model="numpy")
"""Of parts of compiled loops: they are kept with the loop that calls them."""


@inlined
def step(w, i, x, r, y, seen, weights, first, last, coupling, row, pulls, rate):  # type: ignore[no-untyped-def]
    """Row i of w, on sample x[r], y; its neighbours are in rows first..last - 1. Sums as in `loops.run`."""
    size = w.shape[1]
    a = b = c0 = d = 0.0
    c = 0
    while c + 4 <= size:
        a += x[r, c] * w[i, c]
        b += x[r, c + 1] * w[i, c + 1]
        c0 += x[r, c + 2] * w[i, c + 2]
        d += x[r, c + 3] * w[i, c + 3]
        c += 4
    while c < size:
        a += x[r, c] * w[i, c]
        c += 1
    residual = y - ((a + b) + (c0 + d))
    for c in range(size):
        local = 0.0
        for q in range(first, last):
            local += weights[q] * (w[i, c] - seen[q, c])
        towards = (0.0 + row[i, 1] * pulls[i, 1, c]) + row[i, 0] * w[i, c]
        w[i, c] -= rate * (coupling * local + towards - x[r, c] * residual)
    return residual


def _step_alone(w, x, y, seen, weights, coupling, row, pulls, rate):  # type: ignore[no-untyped-def]
    return step(
        w.reshape(1, -1), 0, x.reshape(1, -1), 0, y, seen, weights, 0, weights.size, coupling,
        row.reshape(1, -1), pulls.reshape(1, 2, -1), rate,
    )  # fmt: skip


step_alone = compiled(_step_alone)
