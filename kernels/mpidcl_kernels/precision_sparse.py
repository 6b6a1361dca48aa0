"""Sparse relation precision: the graphical lasso by ADMM, part by part."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.precision_forms import inverse, is_positive_definite

Matrix = npt.NDArray[np.float64]


class Solution(NamedTuple):
    """What an iterative form ended with; `residual` is what was compared with the tolerance."""

    theta: Matrix
    iterations: int
    residual: float
    converged: bool


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
    connected part is solved alone. ADMM of Boyd et al. 2011 (6.5), whose penalty follows the residuals; it
    ends when both are below `tolerance`, relative to Theta and to C, and Theta is positive definite.
    `start` is a Theta near the solution, such as that of the last outer step.
    """
    theta = np.diag(1.0 / covariance.diagonal())
    done, worst, converged = 0, 0.0, True
    for part in _parts(covariance, lam_1):
        block = np.ix_(part, part)
        found = _admm(
            covariance[block], lam_1, tolerance, iterations, None if start is None else start[block]
        )
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


RELAX = 1.6  # over-relaxation, Boyd et al. 2011 (3.4.3): about a third fewer iterations than 1
ADAPT = 100  # the penalty follows the residuals this long; a penalty that stays is what convergence needs


def _admm(c: Matrix, lam_1: float, tolerance: float, iterations: int, start: Matrix | None) -> Solution:
    """Theta by eigenvalues, Z by soft thresholds off the diagonal, U their running difference."""
    size, diagonal = np.linalg.norm(c), np.arange(len(c))
    penalty = float(c.trace() / len(c)) ** 2  # the curvature of -log det at Theta = I / mean(C_kk)
    z = np.diag(1.0 / c.diagonal()) if start is None else start.copy()
    u = np.zeros_like(c) if start is None else _dual(c, z, lam_1) / penalty
    residual = np.inf
    for number in range(1, iterations + 1):
        values, directions = np.linalg.eigh(penalty * (z - u) - c)
        half = directions * np.sqrt((values + np.sqrt(values**2 + 4.0 * penalty)) / (2.0 * penalty))
        theta = half @ half.T
        mixed = RELAX * theta + (1.0 - RELAX) * z + u
        before, z = z, np.sign(mixed) * np.maximum(np.abs(mixed) - lam_1 / penalty, 0.0)
        z[diagonal, diagonal] = mixed[diagonal, diagonal]
        u = mixed - z
        primal = float(np.linalg.norm(theta - z) / np.linalg.norm(theta))
        dual = float(penalty * np.linalg.norm(z - before) / size)
        residual = max(primal, dual)
        if residual <= tolerance and is_positive_definite(z.copy()):
            return Solution(z, number, residual, True)
        if number < ADAPT and not 0.1 < primal / max(dual, 1e-300) < 10.0:
            factor = 2.0 if primal > dual else 0.5
            penalty, u = penalty * factor, u / factor
    return Solution(z, iterations, residual, False)


def _dual(c: Matrix, theta: Matrix, lam_1: float) -> Matrix:
    """The multiplier of Theta at the optimum: Theta^-1 - C, within lam_1, none on the diagonal."""
    found = inverse(theta)
    slack = np.zeros_like(c) if found is None else np.clip(found - c, -lam_1, lam_1)
    np.fill_diagonal(slack, 0.0)
    return slack
