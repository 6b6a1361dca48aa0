"""Whole shares of a budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def largest_remainder(total: int, weights: NDArray[np.floating]) -> NDArray[np.int64]:
    """`total` cut in proportion to `weights` [n], rounded to whole numbers that sum to `total`.

    Every share is rounded down, then the largest remainders get one more (Hamilton's method; equal
    remainders: the first wins). Weights that are all zero get nothing.

    >>> largest_remainder(10, np.array([0.5, 0.3, 0.1])).tolist()
    [6, 3, 1]
    """
    weights = np.asarray(weights, np.float64)
    if total <= 0 or weights.sum() <= 0:
        return np.zeros(len(weights), np.int64)
    exact = total * weights / weights.sum()
    # A hair above, so that 2.9999999999999996 from a division counts as the 3 that it is.
    shares: NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - shares), kind="stable")
    shares[order[: total - int(shares.sum())]] += 1
    return shares
