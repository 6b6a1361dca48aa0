"""What functions on symmetric matrices `[K, K]` ask of their arguments."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.arrays import Home
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Array, View
from mpidcl_kernels.precision import loops

Matrix = npt.NDArray[np.float64]

LOPSIDED = 1e-8
"""Largest |a_ij - a_ji| of a symmetric matrix, relative to its largest element: what rounding leaves."""


def floats(array: View, name: str, ndim: int) -> None:
    """Raise for what is no float32 or float64 array of `ndim` dimensions (NumPy or CuPy)."""
    if array.dtype.char not in "fd" or not array.dtype.isnative:
        raise bad_type(name, "float32 or float64", array.dtype)
    if array.ndim != ndim:
        raise bad(
            name, f"an array of {ndim} dimension{'s' if ndim > 1 else ''}", f"shape {list(array.shape)}"
        )


def square(array: View, name: str) -> None:
    """Raise for what is no float matrix [K, K]."""
    floats(array, name, 2)
    if array.shape[0] != array.shape[1]:
        raise bad(name, "square", f"shape {list(array.shape)}")


def shaped(array: View, name: str, shape: tuple[int, ...]) -> None:
    """Raise for any other shape."""
    if array.shape != shape:
        raise bad(name, f"of shape {list(shape)}", list(array.shape))


def output(out: View | None, shape: tuple[int, ...]) -> None:
    """Raise for an `out` that cannot hold the result."""
    if out is None:
        return
    if out.dtype.char != "d" or not out.dtype.isnative:
        raise bad_type("out", "float64", out.dtype)
    shaped(out, "out", shape)


def apart(out: View | None, name: str, array: View) -> None:
    """Raise for an `out` in the memory of an argument that is still read after the first result is there."""
    if isinstance(out, np.ndarray) and np.may_share_memory(out, array):
        raise bad("out", f"apart from `{name}`", "both in the same memory")


def plain(array: View) -> Matrix:
    """A C-contiguous, aligned, writeable float64 array: the argument itself where it is one.

    Compiled loops are made for this kind alone; another would be compiled anew.
    """
    if array.dtype.char == "d" and array.flags.carray:
        ready: Matrix = array
        return ready
    return np.array(array, np.float64, order="C")


def room(out: View | None, shape: tuple[int, ...], *read: View) -> Matrix:
    """Where loops may write the result: `out` where it is contiguous and aligned, else a new array.

    They read `read` element by element, so `out` may be one of these, but not begin elsewhere in its memory.
    """
    if out is None:
        return np.empty(shape)
    flags = out.flags
    if not flags.writeable:
        raise bad("out", "writeable", "a read-only array")
    if not (flags.c_contiguous and flags.aligned) or any(_crosses(out, array) for array in read):
        return np.empty(shape)
    ready: Matrix = out
    return ready


def _crosses(out: View, array: View) -> bool:
    return bool(out is not array and out.ctypes.data != array.ctypes.data and np.may_share_memory(out, array))


def given(found: Matrix, out: View | None) -> View:
    """`found`, copied into `out` where that is another array."""
    if out is None or out is found:
        return found
    out[...] = found
    return out


def result(home: Home, out: Array | None, found: View) -> Array:
    """What the caller gets: its own `out`, which holds `found`, or `found` as the kind of array it gave."""
    return home.wrap(found) if out is None else out


def symmetric(matrix: Matrix, name: str) -> None:
    """Raise for a plain matrix that is not finite or not symmetric."""
    if len(matrix):
        gap, largest = loops.asymmetry(matrix)
        if not math.isfinite(gap):
            raise bad(name, "finite", "nan or inf")
        if gap > LOPSIDED * largest:
            raise bad(name, "symmetric", f"elements ij and ji that differ by {gap:.3g}")


def finite(array: Matrix, name: str) -> None:
    """Raise where an element of a plain array is nan or inf."""
    if not loops.all_finite(array.reshape(-1)):
        raise bad(name, "finite", "nan or inf")


def number(value: float, name: str, least: float, most: float = math.inf) -> float:
    """A finite number in [least, most]."""
    if not (math.isfinite(value) and least <= value <= most):
        words = "non-negative" if (least, most) == (0.0, math.inf) else f"between {least:g} and {most:g}"
        raise bad(name, words, value)
    return float(value)
