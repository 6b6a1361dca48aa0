"""The fixed orders in which the initial tasks apply the modules of the basis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

REDRAWS = 1000
"""A deep basis with few tasks would be drawn for ever: 24 modules at 24 depths, all used, once in 10^10."""


def random_orders(rng: np.random.Generator, tasks: int, depth: int) -> npt.NDArray[np.int64]:
    """Modules [tasks, depth]: random ones, drawn again until every one of the `depth` modules is used.

    "Distributed Continual Learning" (arXiv 2405.17466, public code, `random_onehot`). After many draws
    in vain every module is put at a random place of the last one.
    """
    orders = rng.integers(0, depth, (tasks, depth))
    for _ in range(REDRAWS):
        if len(np.unique(orders)) == depth:
            return orders
        orders = rng.integers(0, depth, (tasks, depth))
    orders.flat[rng.permutation(orders.size)[:depth]] = np.arange(depth)
    return orders
