"""What several kernels ask of their arguments before a compiled loop, which checks nothing, sees them."""

from __future__ import annotations

import operator
from typing import SupportsIndex

import numpy as np

from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import ArrayModule, View


def whole(name: str, value: SupportsIndex) -> int:
    """`value` as an int. Raises TypeError for what is no whole number.

    >>> whole("k", np.int32(3))
    3
    """
    try:
        return operator.index(value)
    except TypeError:
        raise bad_type(name, "a whole number", repr(value)) from None


def vector(name: str, array: View, *dtypes: type[np.generic]) -> None:
    """Raise unless `array` is [m] of one of `dtypes`, in the machine's byte order."""
    if array.dtype not in dtypes:
        raise bad_type(name, " or ".join(np.dtype(d).name for d in dtypes), array.dtype)
    if array.ndim != 1:
        raise bad(name, "a vector", f"shape {list(array.shape)}")


def writable(name: str, array: View) -> None:
    """Raise for a read-only array; CuPy has none."""
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise bad(name, "writable", "a read-only array")


def apart(xp: ArrayModule, name: str, written: View | None, **read: View | None) -> None:
    """Raise when `written` is in the memory of an array that is still read then. None is apart from all."""
    for other, array in read.items():
        if written is not None and array is not None and xp.may_share_memory(written, array):
            raise bad(name, f"apart from `{other}`", "both in the same memory")
