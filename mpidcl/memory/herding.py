"""Herding: the rows of a class whose mean encoding is nearest to that of the whole class."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from mpidcl.memory.policies import Reservoir


class Herding(Reservoir):
    """Every class has an equal share of the room, for the rows whose mean encoding is nearest to its own.

    Rebuffi et al. 2017 (arXiv 1611.07725), algorithms 4 and 5, with encodings of length 1. Rows that others
    send come one by one and stay as in a reservoir.
    """

    name: ClassVar[str] = "herding"
    needs_classes = True
    by_features = True

    def choose(self, features: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
        rows = features.astype(np.float64)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return herded(rows, count)


def herded(rows: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Positions [min(count, n)] of different rows [n, width]: the k-th one brings the mean of the first k
    nearest to the mean of all rows. Of equally good ones it is the first.
    """
    mean, total, square = rows.mean(0), np.zeros(rows.shape[1]), np.square(rows).sum(1)
    chosen = np.empty(min(count, len(rows)), np.int64)
    for k in range(len(chosen)):
        # |(k + 1) mean - total - row|^2, but for what it has in common for all rows
        distance = square - 2 * (rows @ ((k + 1) * mean - total))
        distance[chosen[:k]] = np.inf
        chosen[k] = distance.argmin()
        total += rows[chosen[k]]
    return chosen
