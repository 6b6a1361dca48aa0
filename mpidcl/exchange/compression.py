"""Number formats for flat float32 vectors: how a part of a model becomes few bytes, and back.

| format  | bytes for m values       | largest error of one value                                            |
|---------|--------------------------|-----------------------------------------------------------------------|
| float32 | 4 m                      | none                                                                  |
| float16 | 2 m                      | the larger of |x| / 2^11 and s / 2^25; s = power of two above maximum |
| int8    | m + 4 ceil(m / 1024)     | half a step; step = maximum of the block of 1024 / 127                |

float16 values travel divided by the power of two `s`, so they cannot overflow and small ones (diagonal
Fisher information, say) keep their digits. A block or vector with NaN or infinity arrives as such.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import FrameError
from mpidcl.network.message import Array, Message, Scalar

Format = Literal["float32", "float16", "int8"]
Floats = NDArray[np.float32]
Positions = slice | NDArray[np.unsignedinteger]

BLOCK = 1024
"""Values that share one scale in int8."""
_LEVELS = 127
_SMALLEST_STEP = float(np.finfo(np.float32).tiny)


def encoded_bytes(form: Format, count: int) -> int:
    """Payload bytes of `count` values."""
    if form == "int8":
        return count + 4 * math.ceil(count / BLOCK)
    return count * (2 if form == "float16" else 4)


def largest_count(form: Format, room: int) -> int:
    """The most values whose payload is at most `room` bytes."""
    if form != "int8":
        return max(0, room) // encoded_bytes(form, 1)
    blocks, rest = divmod(max(0, room), BLOCK + 4)
    return blocks * BLOCK + max(0, rest - 4)


def encode(name: str, values: Floats, form: Format) -> tuple[dict[str, Array], dict[str, Scalar]]:
    """Arrays and scalars of a message that carry `values` [m] as `name`. float32 is not copied."""
    if form == "float32":
        return {name: values}, {}
    if form == "float16":
        scale = _power_of_two_above(values)
        with np.errstate(over="ignore"):
            return {name: (values / np.float32(scale)).astype(np.float16)}, {f"{name}_scale": scale}
    quantised, steps = _to_int8(values)
    return {name: quantised, f"{name}_steps": steps}, {}


def decode(message: Message, name: str) -> Floats:
    """The values [m] that `encode` put into `message`; for float32 a view of the received array."""
    values = message.arrays[name]
    if values.dtype == np.float16:
        return values.astype(np.float32) * np.float32(message.scalars[f"{name}_scale"])
    if values.dtype == np.int8:
        return _from_int8(values, message.arrays[f"{name}_steps"])
    return values.astype(np.float32, copy=False)


def _power_of_two_above(values: Floats) -> float:
    largest = float(np.max(np.abs(values), initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return 1.0
    # float32 reaches down to 2^-149; 2^-126 and up keeps the scale itself a normal float32.
    return float(2.0 ** min(127, max(-126, math.frexp(largest)[1])))


def _to_int8(values: Floats) -> tuple[NDArray[np.int8], Floats]:
    blocks = math.ceil(values.size / BLOCK)
    padded = np.zeros(blocks * BLOCK, np.float32)
    padded[: values.size] = values
    grid = padded.reshape(blocks, BLOCK)
    steps = np.abs(grid).max(axis=1, initial=0.0) / np.float32(_LEVELS)
    # A step below the normal range would overflow 1 / step: such a block is all zero but for 1e-36.
    steps[steps < _SMALLEST_STEP] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        quantised = np.rint(grid / steps[:, None])
    quantised = np.clip(np.nan_to_num(quantised, nan=0.0, posinf=0.0, neginf=0.0), -_LEVELS, _LEVELS)
    steps[~np.isfinite(steps)] = np.nan
    return quantised.astype(np.int8).reshape(-1)[: values.size].copy(), steps.astype(np.float32)


def _from_int8(quantised: Array, steps: Array) -> Floats:
    values = np.repeat(steps.astype(np.float32, copy=False), BLOCK)[: quantised.size]
    values *= quantised.astype(np.float32)
    return values


def index_dtype(size: int) -> type[np.unsignedinteger]:
    """The smallest unsigned type that numbers `size` positions."""
    return np.uint16 if size <= 2**16 else np.uint32


def top_positions(magnitude: Floats, count: int) -> NDArray[np.unsignedinteger]:
    """Positions [count] of the largest values, ascending; among equal ones the first positions win."""
    dtype = index_dtype(magnitude.size)
    if count >= magnitude.size:
        return np.arange(magnitude.size, dtype=dtype)
    ranked = np.where(np.isnan(magnitude), np.inf, magnitude)
    threshold = np.partition(ranked, magnitude.size - count)[magnitude.size - count]
    above = np.flatnonzero(ranked > threshold)
    equal = np.flatnonzero(ranked == threshold)[: count - above.size]
    return np.sort(np.concatenate([above, equal])).astype(dtype)


def positions_of(message: Message, name: str, size: int) -> Positions:
    """Where the values of `name` belong in a vector of `size` values.

    Raises FrameError when they do not lie inside it.
    """
    count = message.arrays[name].size
    if "positions" not in message.arrays:
        start = int(message.scalars["start"])
        _inside(start >= 0 and start + count <= size, f"{start}:{start + count}", size)
        return slice(start, start + count)
    positions: NDArray[np.unsignedinteger] = message.arrays["positions"]  # type: ignore[assignment]
    _inside(positions.size == count, f"{positions.size} positions for {count} values", size)
    _inside(count == 0 or int(positions[-1]) < size, f"position {positions[-1:]}", size)
    return positions


def _inside(good: bool, found: str, size: int) -> None:
    if not good:
        raise FrameError(f"values of a model should lie inside its {size} shared values. Found {found}.")
