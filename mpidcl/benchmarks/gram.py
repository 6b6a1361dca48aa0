"""Gram matrix and weighted sum of gradients, beside torch and NumPy (which sum in the type of the rows)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypedDict

import numpy as np

from mpidcl.base.arrays import Placed
from mpidcl.benchmarks.case import Case, Place, Work
from mpidcl_kernels.base.types import Floats
from mpidcl_kernels.gram import combine_rows, cosine_matrix, gram_matrix

TARGET = "80 % of read bandwidth"
SIZES: tuple[tuple[int, int, type, str], ...] = (
    (10, 11_000_000, np.float32, TARGET),
    (10, 5_500_000, np.float64, ""),
    (4, 11_000_000, np.float32, ""),
    (8, 11_000_000, np.float32, ""),
    (64, 1_000_000, np.float32, ""),
    (3, 100, np.float32, ""),
)


class _Limit(TypedDict, total=False):
    bytes: int
    limit: Literal["read"]
    threads: int


def cases(place: Place) -> Iterator[Case]:
    """A ResNet's gradients of ten tasks, and smaller and longer lists."""
    for n, p, dtype, target in SIZES:
        rows = np.random.default_rng(0).standard_normal((n, p), dtype)
        yield from _at(place, rows, f"{n} x {p:,} {np.dtype(dtype)}", target)
    matrix = place(gram_matrix(np.random.default_rng(0).normal(size=(10, 100))))
    yield Case("cosine_matrix", "10 x 10", lambda: cosine_matrix(matrix), threads=1)


def _at(place: Place, rows: Floats, size: str, target: str) -> Iterator[Case]:
    n, p = rows.shape
    # Small arrays stay in the cache: their time tells, not the bandwidth.
    limit: _Limit = {"bytes": rows.nbytes, "limit": "read"} if rows.nbytes > 1 << 26 else {"threads": 1}
    placed, weights = place(rows), place(np.linspace(-1, 1, n).astype(rows.dtype))
    out = place(np.zeros(p, rows.dtype))
    yield Case(
        "gram_matrix", size, lambda: gram_matrix(placed), _products(rows, placed), target=target, **limit
    )
    target = f"{target}, no slower than torch.mv" if target else ""
    yield Case(
        "combine_rows",
        size,
        lambda: combine_rows(placed, weights, out),
        _sums(rows, placed, weights, out),
        target=target,
        **limit,
    )


def _products(rows: Floats, placed: Placed) -> dict[str, Work]:
    import torch

    tensor = torch.as_tensor(placed)
    others: dict[str, Work] = {"torch.mm": lambda: torch.mm(tensor, tensor.T)}
    if placed is rows:
        others["numpy @"] = lambda: rows @ rows.T
    return others


def _sums(rows: Floats, placed: Placed, weights: Placed, out: Placed) -> dict[str, Work]:
    import torch

    tensor, factors, into = (torch.as_tensor(a) for a in (placed, weights, out))
    others: dict[str, Work] = {"torch.mv": lambda: torch.mv(tensor.T, factors, out=into)}
    if placed is rows:
        others["numpy @"] = lambda: weights @ rows
    return others
