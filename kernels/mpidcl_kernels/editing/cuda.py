"""Editing of stored rows on a GPU, one block of threads per row."""

from __future__ import annotations

from mpidcl_kernels.base.device import C_NAMES, Device
from mpidcl_kernels.base.types import View
from mpidcl_kernels.editing.rows import Bounds, matrices, write_back

THREADS = 256


def edit(device: Device, x: View, direction: View, step: View | float, bounds: Bounds, out: View) -> View:
    """Displacement [n] of the rows written to `out`."""
    xp = device.xp
    old, slope, new = matrices(xp, x, direction, out, contiguous=True)
    n, p = new.shape
    moved, steps = xp.empty(n, "float64"), xp.empty(n, "float64")
    steps[...] = step
    if n:
        kernel = device.kernel("editing", "edit", REAL=C_NAMES[new.dtype.name])
        kernel(n, THREADS, (new if old is None else old, slope, steps, moved, new, p, *bounds))
    write_back(new, out)
    return moved
