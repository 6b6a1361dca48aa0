"""One tick of one linear model, on arrays of its own that nobody checks: what an agent calls at each tick."""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.types import Doubles

LONGEST = 1000
"""Samples over which squared residuals are averaged, at most."""


def node_step(
    w: Doubles,
    x: Doubles,
    y: float,
    seen: Doubles,
    weights: Doubles,
    coupling: float,
    row: Doubles,
    pulls: Doubles,
    rate: float,
) -> float:
    """y - x'w, before w [d] changes in place as by `linear_step`.

    With the bits of linear_step(w, x, y, seen, weights, coupling, row, pulls, 1.0, rate, 0): seen [m, d] and
    weights [m] are copies of its neighbours and a_ij, row [2] and pulls [2, d] its own weight, 1, and
    nothing, the pull of other groups. All arrays are float64 and C-contiguous.
    """
    from mpidcl_kernels.linear import node_loops

    return float(node_loops.step_alone(w, x, y, seen, weights, coupling, row, pulls, rate))


def warm() -> None:
    """Compile the loop, or load it from the cache."""
    w, nobody = np.zeros(1), np.zeros((0, 1))
    node_step(w, w, 0.0, nobody, np.zeros(0), 0.0, np.zeros(2), np.zeros((2, 1)), 0.1)
