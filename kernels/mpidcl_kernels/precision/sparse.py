"""Sparse relation precision: the graphical lasso, part by part, through its dual."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.precision import loops
from mpidcl_kernels.precision.descent import Point, Solution, descend, log_det_and_inverse
from mpidcl_kernels.precision.forms import NoInverse, inverse, is_positive_definite

Matrix = npt.NDArray[np.float64]


def sparse_objective(theta: Matrix, covariance: Matrix, lam_1: float) -> float:
    """tr(C Theta) - log det Theta + lam_1 |Theta|_{1,off}: both halves are counted; `[K, K]` each."""
    off = np.abs(theta).sum() - np.abs(theta.diagonal()).sum()
    return float((covariance * theta).sum() - np.linalg.slogdet(theta)[1] + lam_1 * off)


def graphical_lasso(
    covariance: Matrix,
    lam_1: float,
    tolerance: float = 1e-6,
    iterations: int = 1000,
    start: Matrix | None = None,
) -> Solution:
    """The minimum of `sparse_objective` over Theta `[K, K]`, with exact zeros, and whether it was reached.

    Tasks that no chain of |C_kl| > lam_1 connects have Theta_kl = 0 (Mazumder and Hastie 2012): each
    connected part is solved alone, by projected gradient on its dual (Duchi, Gould and Koller 2008), which is
    the maximum of log det(C + U) over |U_kl| <= lam_1, U_kk = 0, where Theta = (C + U)^-1. ADMM, the usual
    way, takes 1 to 40 times the steps (most where C has small eigenvalues), each with eigenvectors.
    `residual` is the duality gap of Theta over K, of the worst part: the objective is at most K times that
    above its minimum. `lam_1` and C_kk should be positive. `start` is a Theta near the solution, such as
    that of the last outer step.
    """
    theta = np.diag(1.0 / covariance.diagonal())
    done, worst, converged = 0, 0.0, True
    for part in _parts(covariance, lam_1):
        block = np.ix_(part, part)
        near = None if start is None else start[block]
        found = _solve(covariance[block], lam_1, tolerance, iterations, near)
        theta[block] = found.theta
        done, worst = max(done, found.iterations), max(worst, found.residual)
        converged &= found.converged
    return Solution(theta, done, worst, converged)


def _parts(covariance: Matrix, lam_1: float) -> list[npt.NDArray[np.intp]]:
    """Connected sets of two or more tasks in the graph of |C_kl| > lam_1."""
    from scipy.sparse.csgraph import connected_components

    count, labels = connected_components(np.abs(covariance) > lam_1, directed=False)
    parts = [np.flatnonzero(labels == number) for number in range(count)]
    return [part for part in parts if len(part) > 1]


def _solve(c: Matrix, lam_1: float, tolerance: float, iterations: int, start: Matrix | None) -> Solution:
    def evaluate(u: Matrix) -> Point | None:
        return _evaluate(c, u)

    def is_good(point: Point) -> bool:
        return _gap(point, lam_1, len(c)) <= tolerance and _sparse(c, point, lam_1)[1] <= tolerance

    point = _first(c, lam_1, start)
    step = 2.0 * lam_1 / float(np.abs(point.slope).max())
    point, done = descend(point, step, evaluate, lambda u: u.clip(-lam_1, lam_1), is_good, iterations)
    theta, residual = _sparse(c, point, lam_1)
    return Solution(theta, done, residual, residual <= tolerance)


def _first(c: Matrix, lam_1: float, start: Matrix | None) -> Point:
    """A point of the dual: that of `start`, or soft thresholds of C, or C shrunk off the diagonal."""
    pairs = np.triu_indices(len(c), 1)
    off = c[pairs]
    near = None if start is None else inverse(start)
    trials = [] if near is None else [near[pairs] - off]
    for trial in (*trials, -off):
        point = _evaluate(c, trial.clip(-lam_1, lam_1))
        if point is not None:
            return point
    # (1 - t) C + t diag(C), as positive definite as its second part.
    point = _evaluate(c, -off * (lam_1 / np.abs(off).max()))
    if point is None:
        raise NoInverse(f"`lam_1` should not vanish beside C, which has no inverse. Found {lam_1}.")
    return point


def _evaluate(c: Matrix, u: Matrix) -> Point | None:
    """-log det(C + U) and its slope -2 Theta_kl by u_kl = u_lk; None where that has no Cholesky factor."""
    matrix = np.empty_like(c)
    loops.edge_sum(c, u, matrix)
    volume = log_det_and_inverse(matrix)
    if volume is None:
        return None
    slope = np.empty_like(u)
    loops.edge_values(matrix, -2.0, slope)
    return Point(u, -volume, slope)


def _gap(point: Point, lam_1: float, size: int) -> float:
    """Duality gap over K of (C + U)^-1: the sum of lam_1 |Theta_kl| - u_kl Theta_kl over both halves."""
    return float(lam_1 * np.abs(point.slope).sum() + point.u @ point.slope) / size


def _sparse(c: Matrix, point: Point, lam_1: float) -> tuple[Matrix, float]:
    """Theta with zeros where |u_kl| < lam_1, as at the optimum; and its duality gap over K."""
    matrix = np.empty_like(c)
    loops.edge_sum(c, point.u, matrix)
    log_det_and_inverse(matrix)
    loops.mirror(matrix)
    loose = np.zeros(c.shape, bool)
    loose[np.triu_indices(len(c), 1)] = np.abs(point.u) < lam_1
    zeros = matrix.copy()
    zeros[loose | loose.T] = 0.0
    theta = zeros if is_positive_definite(zeros.copy()) else matrix
    return theta, (sparse_objective(theta, c, lam_1) + point.value - len(c)) / len(c)
