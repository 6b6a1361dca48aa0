"""Which of the sender's tasks may answer which query: masks [q, tasks].

The encoder compares well inside a task and badly across tasks it was not trained on (public code of
DCL, arXiv 2405.17466: retrieval finds the right class in 85 % with `oracle`, 32 to 46 % with
`raw-distance`, 17 to 24 % with `none`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.arrays import Placed
from mpidcl.exchange.data.nearest import Device, Floats, by_rank, nearest

Mask = NDArray[np.bool_]
Prefilter = Literal["oracle", "raw-distance", "none"]


def oracle(query_keys: NDArray[np.uint32], task_keys: Sequence[NDArray[np.uint32]]) -> Mask:
    """Tasks that hold the query's class of the same data set; uses the true global class of every query."""
    columns = [np.isin(query_keys, keys) for keys in task_keys]
    return np.stack(columns, axis=1) if columns else np.zeros((len(query_keys), 0), bool)


def raw_distance(
    device: Device, queries: Floats, rows: Placed, tasks: NDArray[np.intp], count: int, neighbours: int
) -> Mask:
    """The tasks, of `count`, of the rows nearest in pixels; rows [n, d], placed, belong to `tasks` [n]."""
    query, row = by_rank(nearest(device, queries, rows, neighbours)[0])
    mask = np.zeros((len(queries), count), bool)
    mask[query, tasks[row]] = True
    return mask


def none(queries: int, count: int) -> Mask:
    """Every task."""
    return np.ones((queries, count), bool)
