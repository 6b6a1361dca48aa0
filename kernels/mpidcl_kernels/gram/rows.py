"""Rows for kernels: a matrix `[n, p]`, or a list of n vectors `[p]`, seen the same way and never copied.

A compiled loop takes all rows as one vector `span` and where each row begins in it, so that any number of
rows is one compiled form. For a list that vector reaches from the lowest row to the end of the highest; what
lies between rows belongs to somebody else and is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from mpidcl_kernels.base.arrays import Home, address, unwrap
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Array, ArrayModule, Floats, Given, View

Starts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows of p columns: `views` is a matrix [n, p] or a list of n vectors [p] of NumPy or CuPy."""

    views: View | list[View]
    n: int
    p: int
    dtype: np.dtype[np.generic]

    @property
    def c_type(self) -> str:
        """The dtype in C."""
        return "float" if self.dtype == np.float32 else "double"


def take(rows: Array | Sequence[Array], **others: Array | None) -> tuple[Rows, list[Given], Home]:
    """`rows` and the views of the other arguments. Raises TypeError or ValueError for what are no rows."""
    if not isinstance(rows, list | tuple):
        (matrix, *views), home = unwrap(rows=rows, **others)
        if matrix.ndim != 2:
            raise bad("rows", "a matrix [n, p] or a list of vectors", f"{matrix.ndim} dimensions")
        check_dtype("rows", matrix.dtype)
        n, p = matrix.shape
        return Rows(matrix, n, p, matrix.dtype), views, home
    if not rows:
        raise bad("rows", "at least one row", "an empty list")
    named = {f"rows[{i}]": row for i, row in enumerate(rows)}
    views, home = unwrap(**named, **others)
    vectors = views[: len(rows)]
    for name, row in zip(named, vectors, strict=True):
        _check_vector(name, row, vectors[0])
    return Rows(vectors, len(vectors), vectors[0].size, vectors[0].dtype), views[len(rows) :], home


def check_dtype(name: str, dtype: np.dtype[np.generic]) -> None:
    """Raises TypeError for other types than float32 and float64."""
    if dtype not in (np.float32, np.float64):
        raise bad_type(name, "float32 or float64", dtype)


def _check_vector(name: str, row: View, first: View) -> None:
    check_dtype(name, row.dtype)
    if row.dtype != first.dtype:
        raise bad_type(name, f"{first.dtype}, like the first row", row.dtype)
    if row.ndim != 1 or row.size != first.size:
        raise bad(name, f"a vector of the first row's shape {list(first.shape)}", list(row.shape))


def crosses(xp: ArrayModule, rows: Rows, out: View) -> bool:
    """Whether the vector `out` shares memory with a row, and not element by element."""
    views = [rows.views[r] for r in range(rows.n)]
    shared = [v for v in views if xp.may_share_memory(v, out)]
    return any(not v.flags.c_contiguous or address(v) != address(out) for v in shared)


def one_vector(rows: Rows) -> tuple[Floats, Starts] | None:
    """(span, starts [n]): row r is `span[starts[r] :][:p]`.

    None for rows on the CPU that no such vector holds: elements that are not adjacent, or not aligned. The
    span is marked as read-only, so that all callers share one compiled form.
    """
    views = rows.views
    if not isinstance(views, list) and views.flags.c_contiguous and views.flags.aligned:
        span = views.reshape(-1)
        span.flags.writeable = False
        return span, np.arange(rows.n) * rows.p
    vectors, size = [views[r] for r in range(rows.n)], rows.dtype.itemsize
    if any((v.size > 1 and v.strides != (size,)) or not v.flags.aligned for v in vectors):
        return None
    addresses = np.array([vector.ctypes.data for vector in vectors])
    lowest = int(addresses.argmin())
    starts = (addresses - addresses[lowest]) // size
    span = as_strided(vectors[lowest], (int(starts.max()) + rows.p,), (size,), writeable=False)
    return span, starts


def packed(rows: Rows, first: int, most: int) -> tuple[Floats, Starts, int]:
    """(span, starts, columns) of a copy of up to `most` columns from `first` on, of rows on the CPU."""
    columns = min(most, rows.p - first)
    copy = np.empty((rows.n, columns), rows.dtype)
    for r in range(rows.n):
        copy[r] = rows.views[r][first : first + columns]
    spanned = one_vector(Rows(copy, rows.n, columns, rows.dtype))
    assert spanned is not None  # a new matrix is contiguous
    return *spanned, columns
