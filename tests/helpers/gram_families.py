"""Gram matrices that solvers stumble over, and what is left of the conditions of an optimum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rows = Callable[[np.random.Generator, int, int], np.ndarray]


def _normal(rng: np.random.Generator, n: int, p: int) -> np.ndarray:
    return rng.normal(size=(n, p))


def _repeated(rng: np.random.Generator, n: int, p: int) -> np.ndarray:
    return _normal(rng, n, p)[rng.integers(0, n // 2 + 1, n)]


FAMILIES: dict[str, Rows] = {
    "normal": _normal,
    "agreeing": lambda rng, n, p: _normal(rng, n, p) + rng.normal(size=p),
    "duplicate rows": _repeated,
    "nearly duplicate rows": lambda rng, n, p: (
        _repeated(rng, n, p) + _normal(rng, n, p) * 10.0 ** rng.integers(-16, -4)
    ),
    "opposed rows": lambda rng, n, p: _repeated(rng, n, p) * rng.choice([-1, 1], (n, 1)),
    "zero rows": lambda rng, n, p: _normal(rng, n, p) * (rng.random((n, 1)) < 0.8),
    "unequal lengths": lambda rng, n, p: _normal(rng, n, p) * 10 ** rng.uniform(-6, 6, (n, 1)),
    "very unequal lengths": lambda rng, n, p: _normal(rng, n, p) * 10 ** rng.uniform(-12, 12, (n, 1)),
    "unequal columns": lambda rng, n, p: _normal(rng, n, p) * 10 ** rng.uniform(-8, 0, p),
    "small integers": lambda rng, n, p: rng.integers(-2, 3, (n, p)).astype(float),
    "all the same": lambda rng, n, p: np.ones((n, p)),
    "rows that add up to zero": lambda rng, n, p: (lambda rows: rows - rows.mean(0))(_normal(rng, n, p)),
}


def family_gram(name: str, n: int, seed: int) -> np.ndarray:
    """Gram matrix [n, n] of rows of that family, in fewer or more dimensions than rows."""
    rng = np.random.default_rng(seed)
    rows = FAMILIES[name](rng, n, int(rng.integers(1, 2 * n + 3)))
    return rows @ rows.T


def residual(gram: np.ndarray, sigma: np.ndarray, weights: np.ndarray, floor: float = 0.0) -> float:
    """Largest miss of the conditions of an optimum, with largest diagonal 1 and sum of sigma 1.

    sigma'l = 1, l >= floor, (G l)_i >= t sigma_i, with equality where l_i > floor. The slack c that floors
    leave multiplies the miss of the last two: that bounds how far l'G l / 2 is above its minimum.
    """
    gram = gram / (gram.diagonal().max() or 1.0)
    weights, floor, sigma = weights * sigma.sum(), floor * sigma.sum(), sigma / sigma.sum()
    free, slope, slack = weights - floor, gram @ weights, 1 - floor
    rest = slack * slope - sigma * (free @ slope)
    clear = free > (1e-12 * weights.max() if floor else 0)
    misses = [abs(sigma @ weights - 1), -free.min(), -rest.min()]
    if slack > 1e-3:
        misses.append(np.abs(rest[clear]).max(initial=0))
    return float(max(misses))
