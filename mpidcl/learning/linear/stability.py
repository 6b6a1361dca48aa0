"""How large a step of a linear model may be, and what a group of coupled models settles on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def stable_rate(x: Doubles, pull: float = 0.0) -> float:
    """The step size below which the mean square of a model's error stays bounded, of rows x [n, d].

    A step on row x is w <- w - alpha x (x'w - y). The mean square of the error shrinks while
    2 E xx' - alpha E |x|^2 xx' is positive definite: alpha < 2 / (d + 2) for Gaussian rows of unit variance.
    `pull` is the sum of the weights of all neighbours times their strength: twice as much is added to the
    largest eigenvalue. Rows that are all zero: as large as one likes.
    """
    values, directions = np.linalg.eigh(x.T @ x / len(x))
    kept = values > 1e-12 * max(values[-1], 1e-300)
    if not kept.any():
        return np.inf if pull == 0 else 1 / pull
    root = directions[:, kept] / np.sqrt(values[kept])
    fourth = (x * (x**2).sum(1, keepdims=True)).T @ x / len(x)
    largest = np.linalg.eigvalsh(root.T @ fourth @ root)[-1]
    return float(2 / (largest + 2 * pull))


def settled_weights(pulls: Doubles) -> Doubles:
    """Weights [n], of sum 1, of the mean on which n coupled models settle; pulls [n, n]: a_ij of i from j.

    dw_i/dt = sum_j a_ij (w_j - w_i) keeps c'w where c'L = 0, L the Laplacian of in-degrees. On balanced
    graphs c is 1/n; on others who is heard by many has more weight. Where several parts hear nobody else, c
    is the mean of what models that start alike would settle on.
    """
    count = len(pulls)
    laplacian = np.diag(pulls.sum(1)) - pulls
    if np.abs(laplacian.sum(0)).max(initial=0.0) <= 1e-12 * max(1.0, pulls.sum(1).max(initial=0.0)):
        return np.full(count, 1 / count)
    moved = np.eye(count) - laplacian / (2 * pulls.sum(1).max())
    for _ in range(60):  # 2^60 steps: what is left of all other modes is below any rounding
        moved = moved @ moved
        moved /= moved.sum(1, keepdims=True)
    found: Doubles = moved.mean(0) / moved.mean(0).sum()
    return found


def together(pulls: Doubles, coupling: float) -> Doubles:
    """How strongly n coupled models are drawn to each other in each of n directions, 0 for their mean first.

    pulls [n, n] as above, of strength `coupling`: the real parts of the eigenvalues l of coupling L. The
    covariance P of errors solves A P + P A' = alpha S, A = I + coupling L, for small steps, features of
    variance 1 and independent noise. For a normal L, as that of every shape of groups with equal weights, the
    mean noise of a model is that of 1 / (1 + l), relative to a node alone: 1 without coupling, and 1/n of
    balanced groups with a strong one.
    """
    laplacian = np.diag(pulls.sum(1)) - pulls
    return np.sort(coupling * np.linalg.eigvals(laplacian).real.clip(0))
