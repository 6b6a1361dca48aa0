"""Compiled loops of `quantise`: integers in place of floats where that lets the compiler vectorise.

The bits of |x| read as an unsigned integer are ordered like |x|, with NaN above infinity, so one integer
maximum finds the largest value and sees NaN too; a float maximum that sees NaN is four times slower.
Every constant is typed: an untyped one would widen the whole loop to 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpidcl_kernels.base.cache import compiled

INFINITY_BITS = 0x7F800000
"""Bits of |x| from which x is not finite (float32)."""


def _largest_bits(values):  # type: ignore[no-untyped-def]
    top = np.uint32(0)
    for i in range(values.size):
        bits = np.float32(values[i]).view(np.uint32)
        top = max(top, np.uint32(bits & np.uint32(0x7FFFFFFF)))
    return top


def _to_half(values, inverse, codes):  # type: ignore[no-untyped-def]
    """codes [m] (uint16): the float16 bits of values * inverse, rounded to nearest, ties to even."""
    for i in range(values.size):
        bits = np.float32(np.float32(values[i]) * inverse).view(np.uint32)
        sign = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(0x8000))
        size = np.uint32(bits & np.uint32(0x7FFFFFFF))
        # Normal: move the exponent's zero from 127 to 15, add just under half a unit, one more when odd.
        odd = np.uint32(np.uint32(size >> np.uint32(13)) & np.uint32(1))
        half = np.uint32(np.uint32(np.uint32(size + np.uint32(0xC8000FFF)) + odd) >> np.uint32(13))
        # Below 2^-14: adding 0.5 leaves multiples of 2^-24 in the last bits, rounded by the addition.
        small = np.float32(size.view(np.float32) + np.float32(0.5)).view(np.uint32)
        half = np.uint32(small - np.uint32(0x3F000000)) if size < np.uint32(0x38800000) else half
        half = min(half, np.uint32(0x7C00))
        nan = np.uint32(np.uint32(size >> np.uint32(13)) & np.uint32(0x3FF))
        nan = np.uint32(np.uint32(0x7C00) | max(nan, np.uint32(1)))
        half = nan if size > np.uint32(0x7F800000) else half
        codes[i] = np.uint16(sign | half)


def _from_half(codes, scale, out):  # type: ignore[no-untyped-def]
    """out [m] = scale * the float16 numbers whose bits are codes [m] (uint16)."""
    up = np.uint32(0x77800000).view(np.float32)  # 2^112 moves the exponent's zero from 15 to 127, exactly
    for i in range(codes.size):
        code = np.uint32(codes[i])
        size = np.uint32(np.uint32(code & np.uint32(0x7FFF)) << np.uint32(13))
        bits = np.float32(size.view(np.float32) * up).view(np.uint32)
        bits = np.uint32(size | np.uint32(0x7F800000)) if size >= np.uint32(0x0F800000) else bits
        bits = np.uint32(bits | np.uint32(np.uint32(code & np.uint32(0x8000)) << np.uint32(16)))
        out[i] = np.float32(bits.view(np.float32) * scale)


def _to_int8(values, block, codes, steps):  # type: ignore[no-untyped-def]
    smallest, levels = np.uint32(0x00800000).view(np.float32), np.float32(127.0)
    # Adding 1.5 * 2^23 rounds to an integer, ties to even, and leaves it in the low bits.
    rounder = np.float32(12582912.0)
    for b in range(steps.size):
        part, into = values[b * block : (b + 1) * block], codes[b * block : (b + 1) * block]
        top = np.uint32(0)
        for i in range(part.size):
            bits = np.float32(part[i]).view(np.uint32)
            top = max(top, np.uint32(bits & np.uint32(0x7FFFFFFF)))
        largest = np.uint32(top)
        step = np.float32(largest.view(np.float32) / levels)
        if top >= np.uint32(0x7F800000) or step < smallest:
            steps[b] = np.float32(0.0) if top < np.uint32(0x7F800000) else np.float32(np.nan)
            into[:] = 0
            continue
        steps[b] = step
        for i in range(part.size):
            rounded = np.float32(np.float32(np.float32(part[i]) / step) + rounder)
            into[i] = np.int8(rounded.view(np.int32))


def _from_int8(codes, block, out, steps):  # type: ignore[no-untyped-def]
    for b in range(steps.size):
        part, into = codes[b * block : (b + 1) * block], out[b * block : (b + 1) * block]
        step = steps[b]
        for i in range(part.size):
            into[i] = np.float32(step * np.float32(part[i]))


largest_bits: Callable[..., int] = compiled(_largest_bits)
to_half: Callable[..., None] = compiled(_to_half)
from_half: Callable[..., None] = compiled(_from_half)
to_int8: Callable[..., None] = compiled(_to_int8)
from_int8: Callable[..., None] = compiled(_from_int8)
