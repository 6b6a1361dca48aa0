"""Host side of quantise.cu: where blocks begin, and how many threads work on them. See __init__.py."""

from __future__ import annotations

from mpidcl_kernels.base.device import C_NAMES, Device
from mpidcl_kernels.base.types import View

THREADS = 256
BLOCKS = 2048
"""Thread blocks that search for the maximum: enough to fill a GPU, few enough atomics."""


def quantise(device: Device, values: View, block: int, codes: View, scales: View) -> None:
    """Fill codes [m] (float16 or int8) and scales [1] or [ceil(m / block)] (float32) of values [m]."""
    xp, kind = device.xp, C_NAMES[values.dtype.name]
    m, values = int(values.size), xp.ascontiguousarray(values)
    if codes.dtype == "int8":
        if m:
            device.kernel("quantise", "to_int8", REAL=kind)(
                int(scales.size), THREADS, (values, codes, scales, m, block)
            )
        return
    top = xp.zeros(1, "uint32")
    if m:
        search = min(BLOCKS, -(-m // THREADS))
        device.kernel("quantise", "largest", REAL=kind)(search, THREADS, (values, top, m))
    # Also for no values: it writes the scale.
    device.kernel("quantise", "to_half", REAL=kind)(
        max(1, -(-m // THREADS)), THREADS, (values, top, codes, scales, m)
    )


def dequantise(device: Device, codes: View, scales: View, block: int, out: View) -> None:
    """Fill out [m] (float32 or float64) from codes and scales."""
    m, blocks = int(codes.size), -(-int(codes.size) // THREADS)
    if not m:
        return
    codes, scales = device.xp.ascontiguousarray(codes), device.xp.ascontiguousarray(scales)
    if codes.dtype == "int8":
        device.kernel("quantise", "from_int8", REAL=C_NAMES[out.dtype.name])(
            blocks, THREADS, (codes, scales, out, m, block)
        )
    else:
        device.kernel("quantise", "from_half", REAL=C_NAMES[out.dtype.name])(
            blocks, THREADS, (codes, scales, out, m)
        )
