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
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import FrameError
from mpidcl.network.frames.message import Array, Message, Scalar
from mpidcl_kernels.quantise import dequantise, quantise
from mpidcl_kernels.sparse import top_k_change

Format = Literal["float32", "float16", "int8"]
Floats = NDArray[np.float32]
Positions = slice | NDArray[np.unsignedinteger]

BLOCK = 1024
"""Values that share one scale in int8."""


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
    codes, scales = quantise(values, form, BLOCK)
    if form == "float16":
        return {name: codes}, {f"{name}_scale": float(scales[0])}
    return {name: codes, f"{name}_steps": scales}, {}


def encode_all(vectors: Mapping[str, Floats], form: Format) -> tuple[dict[str, Array], dict[str, Scalar]]:
    """The same of several vectors."""
    arrays: dict[str, Array] = {}
    scalars: dict[str, Scalar] = {}
    for name, values in vectors.items():
        more, about = encode(name, values, form)
        arrays.update(more)
        scalars.update(about)
    return arrays, scalars


def decode(message: Message, name: str) -> Floats:
    """The values [m] that `encode` put into `message`; for float32 a view of the received array.

    Raises FrameError when int8 values come with a wrong number of steps.
    """
    values = message.arrays[name]
    if values.dtype == np.float16:
        return _dequantised(values, np.array([message.scalars[f"{name}_scale"]], np.float32))
    if values.dtype == np.int8:
        steps = message.arrays[f"{name}_steps"]
        if steps.size != math.ceil(values.size / BLOCK):
            raise FrameError(
                f"{values.size} int8 values should come with {math.ceil(values.size / BLOCK)} steps."
                f" Found {steps.size}."
            )
        return _dequantised(values, steps)
    return values.astype(np.float32, copy=False)


def _dequantised(codes: Array, scales: Array) -> Floats:
    values: Floats = dequantise(codes, scales, BLOCK)
    return values


def index_dtype(size: int) -> type[np.unsignedinteger]:
    """The smallest unsigned type that numbers `size` positions."""
    return np.uint16 if size <= 2**16 else np.uint32


def top_changes(model: Floats, sent: Floats, count: int) -> NDArray[np.unsignedinteger]:
    """Positions [count] of the largest |model - sent|, ascending; among equal ones the first win."""
    count = min(count, model.size)
    positions: NDArray[np.unsignedinteger] = np.empty(count, index_dtype(model.size))
    top_k_change(model, sent, count, out=positions)
    return positions


def positions_of(message: Message, name: str, size: int) -> Positions:
    """Where the values of `name` belong in a vector of `size` values.

    Raises FrameError when they do not lie inside it, or positions do not ascend.
    """
    count = message.arrays[name].size
    if "positions" not in message.arrays:
        start = int(message.scalars["start"])
        _inside(start >= 0 and start + count <= size, f"{start}:{start + count}", size)
        return slice(start, start + count)
    positions: NDArray[np.unsignedinteger] = message.arrays["positions"]  # type: ignore[assignment]
    _inside(positions.size == count, f"{positions.size} positions for {count} values", size)
    _inside(count == 0 or int(positions[-1]) < size, f"position {positions[-1:]}", size)
    if (positions[1:] <= positions[:-1]).any():
        raise FrameError("positions of a model's values should ascend. Found some that do not.")
    return positions


def _inside(good: bool, found: str, size: int) -> None:
    if not good:
        raise FrameError(f"values of a model should lie inside its {size} shared values. Found {found}.")
