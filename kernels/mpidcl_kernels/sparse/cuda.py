"""Host side of sparse.cu: radix selection digit by digit, without waiting for the GPU. See __init__.py."""

from __future__ import annotations

from mpidcl_kernels.base.device import C_NAMES, Device
from mpidcl_kernels.base.types import View

# As in sparse.cu.
TILE = 4096
THREADS = 256
BINS = 2048
DIGIT = 11
"""Bits of a digit: BINS = 2^DIGIT."""
BLOCKS = 1024
"""Thread blocks that fill the histogram: enough to fill a GPU, few enough to add to one another."""


def top_k(device: Device, a: View, b: View | None, k: int) -> View:
    """Positions [k] (int64), ascending, of the k largest of a [m], or of |a - b|."""
    xp, m = device.xp, int(a.size)
    positions = xp.empty(k, "int64")
    if not k:
        return positions
    kind, width = C_NAMES[a.dtype.name], 8 * a.itemsize
    a = xp.ascontiguousarray(a)
    scores = (a, a if b is None else xp.ascontiguousarray(b), b is not None, m)
    state, bins = xp.asarray([0, 0, k], "uint64"), xp.zeros(BINS, "uint64")
    tiles = -(-m // TILE)
    for shift in range(width // DIGIT * DIGIT, -1, -DIGIT):
        device.kernel("sparse", "histogram", REAL=kind)(
            min(BLOCKS, tiles), THREADS, (*scores, state, shift, bins)
        )
        device.kernel("sparse", "pick", REAL=kind)(1, THREADS, (bins, state, shift))
    counts = xp.empty((2, tiles), "int64")
    device.kernel("sparse", "count", REAL=kind)(tiles, THREADS, (*scores, state, counts))
    ends = xp.ascontiguousarray(xp.cumsum(counts, axis=1))
    device.kernel("sparse", "collect", REAL=kind)(tiles, THREADS, (*scores, state, ends, positions))
    return positions


def scatter(device: Device, target: View, positions: View, values: View, scale: float, replace: bool) -> None:
    """Add scale * values [k] to target [p] at positions [k], or put values there; in place."""
    xp, k = device.xp, int(positions.size)
    if not k:
        return
    positions = xp.ascontiguousarray(positions.astype("int64"))
    if not bool((positions[1:] >= positions[:-1]).all()):
        order = xp.argsort(positions, kind="stable")
        positions, values = positions[order], values[order]
    kind = C_NAMES[target.dtype.name]
    # Written to in place where it is in one row, else through a copy.
    row = xp.ascontiguousarray(target)
    arguments = (row, positions, xp.ascontiguousarray(values), k, scale, replace)
    device.kernel("sparse", "scatter", REAL=kind)(-(-k // THREADS), THREADS, arguments)
    if row is not target:
        target[...] = row
