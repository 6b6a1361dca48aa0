"""Editing of stored rows: one clipped step along a direction, and how far every row has moved."""

from __future__ import annotations

import math
from numbers import Real
from typing import cast, overload

import numpy as np

from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.checks import writable
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.threads import for_pieces
from mpidcl_kernels.base.types import Array, ArrayT, Doubles, Floats, Index, View
from mpidcl_kernels.editing.loops import FAR, edit
from mpidcl_kernels.editing.rows import Bounds, matrices, write_back

PIECE = 1 << 16  # numbers per piece of work for a thread
LARGEST = float(np.finfo(np.float64).max)


def edit_definition(
    x: Floats, direction: Floats, step: float | Floats, low: float, high: float, max_norm: float = math.inf
) -> tuple[Floats, Floats]:
    """Edited x [n, ...] and displacement [n]; see `edit_pixels`.

    Directions are scaled first, to a largest element of 1, so that no product or square overflows.

    >>> x, direction = np.zeros((2, 2)), np.array([[3.0, 4.0], [0.0, -1.0]])
    >>> edit_definition(x, direction, 0.1, -1.0, 1.0, max_norm=0.2)
    (array([[ 0.12,  0.16],
           [ 0.  , -0.1 ]]), array([0.2, 0.1]))
    """
    shape, x = x.shape, x.astype(np.float64).reshape(len(x), math.prod(x.shape[1:]))
    slope, steps = direction.astype(np.float64).reshape(x.shape), np.broadcast_to(np.float64(step), len(x))
    finite = np.isfinite(slope).all(1) & np.isfinite(steps)
    with np.errstate(all="ignore"):
        largest = np.abs(slope).max(1, initial=0.0)
        unit = slope / np.where(largest > 0, largest, 1.0)[:, None]
        length = np.where(largest > 0, np.sqrt((unit**2).sum(1)), 1.0)
        reach = np.minimum(np.minimum(np.abs(steps) * largest, max_norm / length), LARGEST)
        change = (np.sign(steps) * reach)[:, None] * unit
        edited = np.where(finite[:, None], np.clip(x + change, low, high), x)
        displacement = np.where(finite, np.sqrt(((edited - x) ** 2).sum(1)), np.nan)
    return edited.reshape(shape), displacement


@overload
def edit_pixels(
    x: View,
    direction: View,
    step: float | View,
    low: float,
    high: float,
    out: View | None = None,
    max_norm: float | None = None,
) -> Doubles: ...
@overload
def edit_pixels(
    x: ArrayT,
    direction: ArrayT,
    step: float | ArrayT,
    low: float,
    high: float,
    out: ArrayT | None = None,
    max_norm: float | None = None,
) -> ArrayT: ...
def edit_pixels(
    x: Array,
    direction: Array,
    step: float | Array,
    low: float,
    high: float,
    out: Array | None = None,
    max_norm: float | None = None,
) -> Array:
    """Write clip(x + step direction, low, high) to `out`; return how far each row moved, [n] float64.

    For stored images that are edited to agree with a gradient, or to become harder (GMED, Jin et al. 2021:
    there `step` is alpha (1 - kappa)^age, one number per row). `x`, `direction` and `out` are [n, ...], all
    float32 or all float64; without `out`, x is changed in place. `step` is a number or [n]. `max_norm` limits
    the l2 norm of step * direction of every row, before clipping, by a smaller step for the rows above it,
    also where that product or its square is too large for float64. The displacement is the l2 norm of what
    changed in the row: what clipping alone changed is part of it.

    A row with NaN or Inf in its direction or step keeps its values, unclipped, and its displacement is NaN: a
    bad gradient does not spoil a memory. NaN in x stays where it is, and makes its row's displacement NaN.

    `out` may be x or `direction`. Arrays that overlap otherwise are copied first, and so are those whose rows
    cannot be flattened where they are (on a GPU: all that are not contiguous).

    >>> x = np.array([[0.5, 0.95]])
    >>> edit_pixels(x, np.array([[-1.0, 1.0]]), 0.1, 0.0, 1.0).round(3), x.round(3)
    (array([0.112]), array([[0.4, 1. ]]))

    Raises ValueError for other shapes, low > high or a negative `max_norm`, TypeError for wrong dtypes.
    """
    steps = None if isinstance(step, Real) else step
    (a, d, o, steps), home = unwrap(x=x, direction=direction, out=out, step=steps)
    size = cast("float", step) if steps is None else steps
    o = a if o is None else o
    bounds = (float(low), float(high), math.inf if max_norm is None else float(max_norm))
    _check(a, d, o, steps, *bounds)
    if home.device is None:
        return home.wrap(_on_cpu(a, d, size, bounds, o))
    from mpidcl_kernels.editing import cuda

    with home.stream():
        return home.wrap(cuda.edit(home.device, a, d, size, bounds, o))


def _check(
    x: View, direction: View, out: View, steps: View | None, low: float, high: float, limit: float
) -> None:
    if x.dtype not in (np.float32, np.float64):
        raise bad_type("x", "float32 or float64", x.dtype)
    if x.ndim == 0:
        raise bad("x", "[n, ...]", "a number")
    for name, array in (("direction", direction), ("out", out)):
        if array.dtype != x.dtype:
            raise bad_type(name, f"{x.dtype}, like `x`", array.dtype)
        if array.shape != x.shape:
            raise bad(name, f"{list(x.shape)}, like `x`", list(array.shape))
    writable("x" if out is x else "out", out)
    if steps is not None and steps.dtype.kind not in "fiu":
        raise bad_type("step", "of real numbers", steps.dtype)
    if steps is not None and steps.shape != (len(x),):
        raise bad("step", f"a number or [{len(x)}], one per row", list(steps.shape))
    if not low <= high:
        raise bad("low", f"at most `high` = {high}", low)
    if not limit >= 0:
        raise bad("max_norm", "at least 0", limit)


def _on_cpu(x: View, direction: View, step: View | float, bounds: Bounds, out: View) -> Doubles:
    old, slope, new = matrices(np, x, direction, out)
    n, p = new.shape
    moved, steps = np.empty(n), np.full(n, step, np.float64)
    rows = max(1, PIECE // max(1, p))

    def work(first: int, last: int) -> None:
        span = (first * rows, min(last * rows, n))
        edit(new if old is None else old, slope, steps, *bounds, *span, new, moved, old is None)

    for_pieces(work, -(-n // rows))
    left = np.flatnonzero(moved == FAR)
    if left.size:
        _edit_by_definition(new if old is None else old, slope, steps, bounds, new, moved, left)
    write_back(new, out)
    return moved


def _edit_by_definition(
    x: View, slope: View, steps: Doubles, bounds: Bounds, out: View, moved: Doubles, rows: Index
) -> None:
    """Edit `rows`, whose factors are too large or too small for the loop."""
    before = x[rows]
    with np.errstate(over="ignore", invalid="ignore"):
        out[rows] = edit_definition(before, slope[rows], steps[rows], *bounds)[0]
        moved[rows] = np.sqrt(((out[rows].astype(np.float64) - before) ** 2).sum(1))


def warm() -> None:
    """Compile, or load, what runs use: float32 images that are changed in place."""
    one = np.ones((1, 2), np.float32)
    edit_pixels(one, one.copy(), 0.0, 0.0, 1.0)
