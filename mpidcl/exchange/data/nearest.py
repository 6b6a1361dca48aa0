"""Nearest rows by cosine similarity, found on the learner's device, as pairs in order of rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.arrays import Placed
from mpidcl_kernels.base.types import View
from mpidcl_kernels.nearest import nearest_rows

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Index = NDArray[np.int64]
Found = tuple[Index, NDArray[np.float64]]
"""Rows [q, k] and similarities [q, k], the best first; row -1 where fewer than k rows are allowed."""


class Device(Protocol):
    """A learner, as far as the search needs it: where kernels find arrays."""

    def place(self, array: View) -> Placed:
        """`array` on the learner's device."""

    def fetch(self, array: Placed) -> View:
        """A result in the host's memory."""


def flat(vectors: View) -> View:
    """Rows [n, ...] as [n, d]."""
    return vectors.reshape(len(vectors), math.prod(vectors.shape[1:]))


def nearest(device: Device, queries: Floats, rows: Placed, count: int, allowed: Mask | None = None) -> Found:
    """The `count` rows, or all if there are fewer, most similar to queries [q, ...].

    `rows` [n, d] were placed by the caller, who may search them more than once. A zero vector is similar to
    nothing (0); equal similarities: the first row wins. `allowed` [q, n]: the others are not considered.
    """
    if len(rows) == 0:
        return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0))
    mask = None if allowed is None else device.place(np.ascontiguousarray(allowed))
    found = nearest_rows(device.place(flat(queries)), rows, min(count, len(rows)), allowed=mask)
    return device.fetch(found[0]), device.fetch(found[1])


def best_of(found: Sequence[Found], count: int) -> Index:
    """Rows [q, k], k at most `count`, the best of several searches among different rows."""
    row = np.concatenate([row for row, _ in found], axis=1)
    similarity = np.concatenate([similarity for _, similarity in found], axis=1)
    order = np.lexsort((row, -similarity))[:, :count]
    return np.take_along_axis(row, order, axis=1)


def by_rank(rows: Index) -> tuple[NDArray[np.intp], Index]:
    """Pairs (query, row) of rows [q, k], where they are not -1.

    Ordered by rank first and query second: all first choices, then all second choices, so that a cut
    of the list (small room) takes the same from every query.
    """
    ranks, queries = np.nonzero(rows.T >= 0)
    return queries, rows[queries, ranks]
