"""Nearest rows: the k rows most similar or closest to each query, exactly."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np

from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.checks import whole
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Array, ArrayT, Doubles, Floats, Index, Mask, View
from mpidcl_kernels.nearest.cpu import Found, search

Metric = Literal["cosine", "euclidean"]


def nearest_definition(
    queries: Floats, rows: Floats, k: int, metric: Metric = "cosine", allowed: Mask | None = None
) -> Found:
    """Index [q, k] of the k best rows [n, d] for queries [q, d], and their scores [q, k]; see `nearest_rows`.

    >>> rows = np.array([[0.0, 0.0], [3.0, 0.0], [1.0, 1.0]])
    >>> nearest_definition(np.array([[0.0, 2.0]]), rows, 2)
    (array([[2, 0]]), array([[0.70710678, 0.        ]]))
    >>> nearest_definition(np.array([[0.0, 2.0]]), rows, 2, "euclidean")
    (array([[2, 0]]), array([[1.41421356, 2.        ]]))
    """
    with np.errstate(all="ignore"):  # what is not finite is nobody's neighbour
        goodness = _cosines(queries, rows) if metric == "cosine" else -_distances(queries, rows)
    valid = np.isfinite(goodness) & (True if allowed is None else allowed)
    goodness = np.where(valid, goodness, -np.inf)
    order = np.argsort(-goodness, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(goodness, order, axis=1)
    return np.where(best > -np.inf, order, -1), best if metric == "cosine" else -best


def _cosines(queries: Floats, rows: Floats) -> Floats:
    q, r = queries.astype(np.float64), rows.astype(np.float64)
    norms = np.sqrt((q * q).sum(1))[:, None] * np.sqrt((r * r).sum(1))
    cosines: Floats = (q @ r.T) / np.where(norms == 0, 1, np.where(norms < np.inf, norms, np.nan))
    return cosines


def _distances(queries: Floats, rows: Floats) -> Floats:
    difference = queries.astype(np.float64)[:, None] - rows.astype(np.float64)
    distances: Floats = np.sqrt((difference**2).sum(2))
    return distances


@overload
def nearest_rows(
    queries: View, rows: View, k: int, metric: Metric = "cosine", allowed: View | None = None
) -> tuple[Index, Doubles]: ...
@overload
def nearest_rows(
    queries: ArrayT, rows: ArrayT, k: int, metric: Metric = "cosine", allowed: ArrayT | None = None
) -> tuple[ArrayT, ArrayT]: ...
def nearest_rows(
    queries: Array, rows: Array, k: int, metric: Metric = "cosine", allowed: Array | None = None
) -> tuple[Array, Array]:
    """The k rows nearest to each query: index [q, k] int64 and score [q, k] float64, the best first.

    `queries` [q, d] and `rows` [n, d] are both float32 or both float64, in any layout. The score is the
    cosine, largest first (a zero vector is similar to nothing: 0), or with `metric = "euclidean"` the
    distance, smallest first. Whatever may be among the k is scored in float64; among equal scores the smaller
    index comes first. The result does not depend on threads, blocks or the layout of the rows.

    `allowed` [q, n] bool: only rows marked True are considered. A row with NaN or Inf is nobody's neighbour,
    and a query with them has none. Where fewer than k rows are left, the index is -1, and the score -inf
    (cosine) or inf (euclidean). float64 vectors longer than 1e150 count as Inf, shorter than 1e-150 as 0.

    Beside the result it takes 10 MB per thread at most, whatever n. On a GPU 16 k q n / 4096 bytes, 64 MB of
    scores, and a copy of 65,536 rows at a time where rows are not contiguous.

    >>> rows = np.array([[0.0, 0.0], [3.0, 0.0], [1.0, 1.0]])
    >>> nearest_rows(np.array([[0.0, 2.0]]), rows, 1)[0]
    array([[2]])

    Raises ValueError for k outside 1..n, an unknown metric or wrong shapes, TypeError for wrong dtypes.
    """
    (q, r, mask), home = unwrap(queries=queries, rows=rows, allowed=allowed)
    k = _checked(q, r, k, metric, mask)
    cosine = metric == "cosine"
    if home.device is None:
        index, score = search(q, r, k, cosine, mask)
        return home.wrap(index), home.wrap(score if cosine else -score)
    from mpidcl_kernels.nearest import cuda

    with home.stream():
        index, score = cuda.search(home.device, q, r, k, cosine, mask)
        return home.wrap(index), home.wrap(score if cosine else -score)


def _checked(queries: View, rows: View, k: int, metric: str, allowed: View | None) -> int:
    if rows.dtype not in (np.float32, np.float64):
        raise bad_type("rows", "float32 or float64", rows.dtype)
    if queries.dtype != rows.dtype:
        raise bad_type("queries", f"{rows.dtype}, like `rows`", queries.dtype)
    if rows.ndim != 2 or len(rows) == 0:
        raise bad("rows", "[n, d] with n at least 1", list(rows.shape))
    if queries.ndim != 2 or queries.shape[1] != rows.shape[1]:
        raise bad("queries", f"[q, {rows.shape[1]}], as wide as `rows`", list(queries.shape))
    if metric not in ("cosine", "euclidean"):
        raise bad("metric", '"cosine" or "euclidean"', repr(metric))
    if not 1 <= whole("k", k) <= len(rows):
        raise bad("k", f"between 1 and {len(rows)}", k)
    if allowed is not None:
        if allowed.dtype != np.bool_:
            raise bad_type("allowed", "bool", allowed.dtype)
        if allowed.shape != (len(queries), len(rows)):
            raise bad("allowed", f"[q, n] = {[len(queries), len(rows)]}", list(allowed.shape))
    return whole("k", k)


def warm() -> None:
    """Compile, or load, what runs use: float32 rows, with and without a mask."""
    rows = np.eye(2, dtype=np.float32)
    nearest_rows(rows, rows, 1)
    nearest_rows(rows, rows, 1, allowed=np.ones((2, 2), bool))
    nearest_rows(rows, rows, 1, "euclidean")
