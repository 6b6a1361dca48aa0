"""Averages on a GPU: one launch that follows a table of addresses, so the arrays need not be one matrix.

Values at single places are first spread over a whole array each; all others are read where they lie.
"""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.average.parts import Parts
from mpidcl_kernels.base.arrays import address
from mpidcl_kernels.base.device import C_NAMES, Arguments, Device
from mpidcl_kernels.base.types import View

THREADS = 256
EACH = 64
"""Values per thread of a sum; fixed, so that the order of additions never changes."""


def weighted_average(device: Device, parts: Parts, weights: View, out: View) -> None:
    """`average.weighted_average` into `out`."""
    dense = _spread(device, parts)
    arguments = _table(device, dense), weights, parts.arrays[parts.own], out, len(dense.arrays), parts.size
    _launch(device, parts, "weighted_average", arguments)


def fisher_average(device: Device, parts: Parts, weights: View, eps: float, out: View) -> None:
    """`average.fisher_average` into `out`."""
    dense = _spread(device, parts)
    own, n = parts.arrays[parts.own], len(dense.arrays)
    _launch(device, parts, "fisher_average", (_table(device, dense), weights, own, out, n, parts.size, eps))


def fisher_sums(device: Device, parts: Parts, information: View, weighted: View) -> None:
    """`average.fisher_sums` into `information` and `weighted`."""
    dense = _spread(device, parts)
    arguments = _table(device, dense), information, weighted, len(dense.arrays), parts.size
    _launch(device, parts, "fisher_sums", arguments)


def absolute_differences(device: Device, parts: Parts) -> View:
    """Sum of |x - a_j| [n] at the places of a_j; x is the first array, the a_j are all others."""
    x, *arrays = parts.arrays
    longest = max((array.size for array in arrays), default=0)
    if longest == 0:
        return device.xp.zeros(len(arrays), dtype=np.float64)
    places = zip(parts.starts[1:], parts.indices[1:], arrays, strict=True)
    mine = [x[start : start + a.size] if index is None else x[index] for start, index, a in places]
    pairs = [(address(own), address(a), a.size) for own, a in zip(mine, arrays, strict=True)]
    blocks = -(-longest // (THREADS * EACH))
    partial = device.xp.empty((len(arrays), blocks), dtype=np.float64)
    kernel = device.kernel("average", "absolute_differences", REAL=C_NAMES[x.dtype.name])
    kernel((blocks, len(arrays)), THREADS, (device.xp.asarray(np.array(pairs, np.int64)), partial, EACH))
    sums: View = partial.sum(axis=1)
    return sums


def _launch(device: Device, parts: Parts, name: str, arguments: Arguments) -> None:
    if parts.size:
        kernel = device.kernel("average", name, REAL=C_NAMES[parts.arrays[0].dtype.name])
        kernel(-(-parts.size // THREADS), THREADS, arguments)


def _table(device: Device, parts: Parts) -> View:
    fishers = parts.fishers or [None] * len(parts.arrays)
    rows = [
        (address(a), start, a.size, 0 if fisher is None else address(fisher))
        for a, start, fisher in zip(parts.arrays, parts.starts, fishers, strict=True)
    ]
    return device.xp.asarray(np.array(rows, np.int64))


def _spread(device: Device, parts: Parts) -> Parts:
    """`parts` without lists of places: their values in whole arrays, over what stands in."""
    if all(index is None for index in parts.indices):
        return parts
    xp, dtype = device.xp, parts.arrays[0].dtype
    arrays, starts = list(parts.arrays), list(parts.starts)
    fishers = list(parts.fishers) or [None] * len(arrays)
    for j, index in enumerate(parts.indices):
        if index is None:
            continue
        own = xp.zeros(parts.size, dtype=dtype) if parts.own < 0 else parts.arrays[parts.own].copy()
        own[index] = arrays[j]
        arrays[j], starts[j] = own, 0
        if fishers[j] is not None:
            whole = xp.zeros(parts.size, dtype=dtype)
            whole[index] = fishers[j]
            fishers[j] = whole
    return Parts(arrays, starts, [None] * len(arrays), parts.own, parts.size, fishers)
