"""Arrays of `edit_pixels` as matrices [n, p], without a copy where the layout permits."""

from __future__ import annotations

import math
from typing import Any

from mpidcl_kernels.base.arrays import address


def matrices(xp: Any, x: Any, direction: Any, out: Any, contiguous: bool = False) -> tuple[Any, Any, Any]:
    """(x, direction, out), each [n, p]; x is None where it is the same memory as `out`.

    Arrays that overlap `out` without being the same are copied. `contiguous`: others than C order are, too.
    """
    x, direction = (
        a if _same(a, out) or not xp.may_share_memory(a, out) else a.copy() for a in (x, direction)
    )
    old = None if _same(x, out) else _flat(xp, x, contiguous)
    return old, _flat(xp, direction, contiguous), _flat(xp, out, contiguous)


def write_back(matrix: Any, out: Any) -> None:
    """Bring what was written to `matrix` to `out`, if that had to be copied."""
    if address(matrix) != address(out):
        out[...] = matrix.reshape(out.shape)


def _flat(xp: Any, array: Any, contiguous: bool) -> Any:
    array = xp.ascontiguousarray(array) if contiguous else array
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _same(a: Any, b: Any) -> bool:
    return a is b or (address(a) == address(b) and a.strides == b.strides)
