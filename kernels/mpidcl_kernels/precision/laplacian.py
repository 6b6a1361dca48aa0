"""Laplacian relation precision: edge weights v >= 0 between tasks, by projected gradient."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.precision import loops
from mpidcl_kernels.precision.descent import Point, Solution, descend, log_det_and_inverse

Matrix = npt.NDArray[np.float64]


def laplacian_objective(laplacian: Matrix, covariance: Matrix, lam_1: float) -> float:
    """tr(C L) - log gdet L + lam_1 times the sum of edge weights; gdet is the product over eigenvalues but 0.

    On connected graphs log gdet L = log det(L + 1 1'/K), because L 1 = 0 and 1 1'/K has the one eigenvalue 1.
    """
    size = len(laplacian)
    weights = -np.triu(laplacian, 1).sum()
    volume = np.linalg.slogdet(laplacian + np.full((size, size), 1.0 / size))[1]
    return float((covariance * laplacian).sum() - volume + lam_1 * weights)


def laplacian_precision(
    covariance: Matrix, lam_1: float, tolerance: float = 1e-6, iterations: int = 1000
) -> Solution:
    """The minimum of `laplacian_objective` over graph Laplacians L `[K, K]`, and whether it was reached.

    With the cost c = b'C b + lam_1 of an edge (b = e_k - e_l) and u = v c the problem is
    min over u >= 0 of sum u - log det(L + 1 1'/K), which knows no scale; slope 1 - b'(L + 1 1'/K)^-1 b / c.
    `residual` bounds how far the objective is above its minimum, divided by K - 1, because scaling the
    inverse until no slope is negative makes it feasible for the dual problem. Raises ValueError for an
    edge without cost.
    """
    size = len(covariance)
    if size < 2:
        return Solution(np.zeros((size, size)), 0, 0.0, True)
    cost = np.empty(size * (size - 1) // 2)
    loops.edge_lengths(covariance, np.empty(size), cost)
    cost += lam_1
    if not cost.min() > 0:
        raise bad("ridge", "positive where lam_1 is 0 and two tasks have the same mean", "0 for both")
    scale = float(cost.mean())  # L beside 1 1'/K, whatever the unit of the means
    cost /= scale

    def evaluate(u: Matrix) -> Point | None:
        return _evaluate(u, cost, size)

    point = evaluate(np.full(len(cost), (size - 1) / len(cost)))
    if point is None:  # the complete graph is connected, but rounding hides it
        raise bad(
            "ridge", "larger: squared distances of means differ by too much for float64", scale * cost.min()
        )
    step = 1.0 / max(float(np.abs(point.slope).max()), 1.0)
    point, done = descend(
        point, step, evaluate, lambda u: np.maximum(u, 0.0), lambda p: _gap(p, size) <= tolerance, iterations
    )
    residual = _gap(point, size)
    return Solution(_laplacian(point.u / cost / scale, size), done, residual, residual <= tolerance)


def _evaluate(u: Matrix, cost: Matrix, size: int) -> Point | None:
    """Objective and slope at u; None where the graph is not connected."""
    matrix = np.empty((size, size))
    loops.edge_laplacian(u / cost, np.empty(size), matrix)
    volume = log_det_and_inverse(matrix)
    if volume is None:
        return None
    slope = np.empty(len(cost))
    loops.edge_lengths(matrix, np.empty(size), slope)
    return Point(u, float(u.sum()) - volume, 1.0 - slope / cost)


def _gap(point: Point, size: int) -> float:
    """Duality gap over K - 1: sum u / (K - 1) - 1 + log of the largest b'(L + 1 1'/K)^-1 b / c."""
    return float(point.u.sum() / (size - 1) - 1.0 + np.log(1.0 - point.slope.min()))


def _laplacian(weights: Matrix, size: int) -> Matrix:
    laplacian = np.zeros((size, size))
    laplacian[np.triu_indices(size, 1)] = -weights
    laplacian += laplacian.T
    np.fill_diagonal(laplacian, -laplacian.sum(1))
    return laplacian
