"""The compiled loop of `edit_pixels`."""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.cache import compiled

SMALL = 1e-290
"""A square of a length, or a share of a step, that is smaller has lost digits or is about to."""
FAR = -1.0
"""How far a row moved that was left alone: its step, length or product of the two has no normal numbers."""


def _edit(x, direction, steps, low, high, limit, first, last, out, moved, in_place):  # type: ignore[no-untyped-def]
    """Rows first..last; `in_place`: x is out. A row is read twice, the second time from the cache."""
    kind = x.dtype.type
    bottom, top, least, most = kind(low), kind(high), np.finfo(x.dtype).tiny, np.finfo(x.dtype).max
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
        norm = abs(step) * np.sqrt(square)
        if norm > limit:
            step = step * (limit / norm)
        factor = kind(step)
        ordinary = least <= abs(factor) <= most or steps[i] == 0.0 or limit == 0.0
        if limit < np.inf:
            ordinary &= SMALL <= square < np.inf and (SMALL * norm <= limit or limit == 0.0)
        square = 0.0
        if not ordinary:
            moved[i] = FAR
            continue
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
