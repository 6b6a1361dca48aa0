"""Arrays of `edit_pixels` as matrices [n, p], without a copy where the layout permits."""

from __future__ import annotations

import math

from mpidcl_kernels.base.arrays import address
from mpidcl_kernels.base.types import ArrayModule, View

Bounds = tuple[float, float, float]
"""Least value, greatest value, and the longest move of a row."""


def matrices(
    xp: ArrayModule, x: View, direction: View, out: View, contiguous: bool = False
) -> tuple[View | None, View, View]:
    """(x, direction, out), each [n, p]; x is None where it is the same memory as `out`.

    Arrays that overlap `out` without being the same are copied. `contiguous`: others than C order are, too.
    """
    x, direction = (
        a if _same(a, out) or not xp.may_share_memory(a, out) else a.copy() for a in (x, direction)
    )
    old = None if _same(x, out) else _flat(xp, x, contiguous)
    return old, _flat(xp, direction, contiguous), _flat(xp, out, contiguous)


def write_back(matrix: View, out: View) -> None:
    """Bring what was written to `matrix` to `out`, if that had to be copied."""
    if address(matrix) != address(out):
        out[...] = matrix.reshape(out.shape)


def _flat(xp: ArrayModule, array: View, contiguous: bool) -> View:
    array = xp.ascontiguousarray(array) if contiguous else array
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _same(a: View, b: View) -> bool:
    return a is b or (address(a) == address(b) and a.strides == b.strides)
