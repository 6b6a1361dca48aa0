"""Spectral projected gradient on one number per pair of tasks: what the iterative forms are solved with.

Birgin, Martinez and Raydan 2000: steps of Barzilai and Borwein, projected, accepted when the objective is
below the largest of the last ten. Both duals here cost one Cholesky factor and inverse per step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

MEMORY = 10
SHORTEST, LONGEST = 1e-10, 1e10  # spectral steps are kept inside, as their authors do


class Solution(NamedTuple):
    """What an iterative form ended with; `residual` is what was compared with the tolerance."""

    theta: Matrix
    iterations: int
    residual: float
    converged: bool


class Point(NamedTuple):
    """Numbers u of all pairs k < l in row order, the objective there, and its slope by u."""

    u: Matrix
    value: float
    slope: Matrix


Evaluate = Callable[[Matrix], Point | None]
"""The point at u; None where the objective is infinite."""


def descend(
    point: Point,
    step: float,
    evaluate: Evaluate,
    project: Callable[[Matrix], Matrix],
    is_good: Callable[[Point], bool],
    iterations: int,
) -> tuple[Point, int]:
    """(the first point that is good, or the last one; steps that were taken)."""
    values = [point.value]
    for number in range(iterations):
        if is_good(point):
            return point, number
        direction = project(point.u - step * point.slope) - point.u
        after = _search(point, direction, max(values[-MEMORY:]), evaluate)
        if after is None:  # rounding hides any further descent
            return point, number
        moved, turned = after.u - point.u, after.slope - point.slope
        curvature = float(moved @ turned)
        step = float(np.clip(moved @ moved / curvature, SHORTEST, LONGEST)) if curvature > 0 else LONGEST
        point = after
        values.append(point.value)
    return point, iterations


def _search(point: Point, direction: Matrix, ceiling: float, evaluate: Evaluate) -> Point | None:
    """The first of the steps 1, 1/2, 1/4, ... along `direction` that lowers the objective enough (Armijo)."""
    slope, length = float(point.slope @ direction), 1.0
    for _ in range(50):
        after = evaluate(point.u + length * direction)
        if after is not None and after.value <= ceiling + 1e-4 * length * slope:
            return after
        length *= 0.5
    return None


def log_det_and_inverse(matrix: Matrix) -> float | None:
    """log det of a matrix given by its upper half, which is replaced by the inverse's; None without one."""
    from scipy.linalg.lapack import dpotrf, dpotri

    factor, failed = dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        return None
    volume = 2.0 * float(np.log(factor.diagonal()).sum())
    dpotri(factor, lower=1, overwrite_c=1)
    return volume
