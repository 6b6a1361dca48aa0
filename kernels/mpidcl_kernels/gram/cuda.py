"""Gram matrix and weighted sum of rows on CuPy arrays. Sums are taken in a fixed order: no atomics."""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.arrays import address
from mpidcl_kernels.base.device import Device
from mpidcl_kernels.base.types import View
from mpidcl_kernels.gram.rows import Rows, crosses

TILE = 5
"""Rows per side of a tile, as in the source."""
THREADS = 128
SLICE = 8192
"""Columns that one block of threads sums; slices of a block of columns are then added in order."""
MOST_SLICES = 4096
"""Slices of one block of columns: they grow when a caller's block is so long that they would be more."""
AT_ONCE = 1 << 24
"""Float64 numbers that the sums of slices may take at a time."""


def gram_matrix(device: Device, rows: Rows, block: int) -> View:
    """[n, n]: the sum of `gram_blocks` in order."""
    out = device.xp.zeros((rows.n, rows.n), np.float64)
    blocks = gram_blocks(device, rows, block)
    if blocks.size:
        add = device.kernel("gram", "add_blocks", REAL=rows.c_type)
        add(-(-out.size // THREADS), THREADS, (blocks, out, len(blocks), out.size))
    return out


def gram_blocks(device: Device, rows: Rows, block: int) -> View:
    """[blocks, n, n], each the sum of its slices in order. What a slice is depends on `block` alone."""
    n, out = rows.n, device.xp.empty((-(-rows.p // block), rows.n, rows.n), np.float64)
    if not out.size:
        return out
    kept, addresses = _addresses(device, rows)
    tiles, columns = _tiles(n), max(SLICE, -(-block // MOST_SLICES))
    slices = -(-block // columns)
    step = max(1, min(AT_ONCE // (tiles * TILE * TILE), 65535) // slices)
    measure, add = (device.kernel("gram", f, REAL=rows.c_type) for f in ("slice_sums", "add_slices"))
    for first in range(0, len(out), step):
        part = out[first : first + step]
        sums = device.xp.empty(len(part) * slices * tiles * TILE * TILE, np.float64)
        sizes = (n, rows.p, block, columns, slices, first * slices)
        measure((tiles, len(part) * slices), THREADS, (addresses, sums, *sizes))
        add(-(-part.size // THREADS), THREADS, (sums, part, n, len(part), slices))
    del kept
    return out


def combine_rows(device: Device, rows: Rows, weights: View, out: View | None) -> View:
    """`out` [p] or a new array. `weights` [n] float64 may be on the CPU."""
    xp = device.xp
    result = out
    if result is None or not result.flags.c_contiguous or crosses(xp, rows, result):
        result = xp.empty(rows.p, rows.dtype)
    if rows.p:
        kept, addresses = _addresses(device, rows)
        launch = device.kernel("gram", "combine", REAL=rows.c_type)
        launch(-(-rows.p // THREADS), THREADS, (addresses, xp.asarray(weights), result, rows.n, rows.p))
        del kept
    if out is not None and out is not result:
        out[...] = result
    return result


def _tiles(n: int) -> int:
    side = -(-n // TILE)
    return side * (side + 1) // 2


def _addresses(device: Device, rows: Rows) -> tuple[list[View], View]:
    """Rows whose elements are adjacent, copied where they were not, and their addresses [n] on the device.

    The rows must be kept until the last launch that reads the addresses.
    """
    vectors = [device.xp.ascontiguousarray(rows.views[r]) for r in range(rows.n)]
    return vectors, device.xp.asarray(np.array([address(vector) for vector in vectors], np.int64))
