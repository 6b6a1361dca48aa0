"""The compiled loop of `edit_pixels`."""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.cache import compiled


def _edit(x, direction, steps, low, high, limit, first, last, out, moved, in_place):  # type: ignore[no-untyped-def]
    """Rows first..last; `in_place`: x is out. A row is read twice, the second time from the cache."""
    kind = x.dtype.type
    bottom, top = kind(low), kind(high)
    for i in range(first, last):
        old, slope, new, step = x[i], direction[i], out[i], steps[i]
        zero, square = kind(0.0), 0.0
        if limit < np.inf:
            for c in range(slope.size):
                square += np.float64(slope[c]) * np.float64(slope[c])
        if limit == np.inf or not square < np.inf:
            for c in range(slope.size):
                zero += kind(0.0) * slope[c]
        if zero + 0.0 * step != 0.0:  # 0 times NaN or Inf is NaN
            for c in range(old.size):
                new[c] = old[c]
            moved[i] = np.nan
            continue
        norm, square = abs(step) * np.sqrt(square), 0.0
        if norm > limit:
            step = step * (limit / norm)
        factor = kind(step)
        # Two loops that differ in a name: a compiler that cannot tell x from out does not vectorise.
        if in_place:
            for c in range(new.size):
                value = new[c] + factor * slope[c]
                value = bottom if value < bottom else value  # in this order NaN stays NaN
                value = top if value > top else value
                change = np.float64(value) - np.float64(new[c])
                square += change * change
                new[c] = value
        else:
            for c in range(new.size):
                value = old[c] + factor * slope[c]
                value = bottom if value < bottom else value
                value = top if value > top else value
                change = np.float64(value) - np.float64(old[c])
                square += change * change
                new[c] = value
        moved[i] = np.sqrt(square)


edit = compiled(_edit, reorder=True)
