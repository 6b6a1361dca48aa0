"""Rows as bytes: images whose pixels are k/255 or k/16 travel as k, without loss."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import ExperimentError, FrameError
from mpidcl.network.frames.message import Array

Pixels = Literal["auto", "float32", "uint8"]
Floats = NDArray[np.float32]

_BYTES = np.arange(256, dtype=np.float32)
# 0 is plain float32. Data sets scale by a division or by a product; the last bits differ.
_TABLES: dict[int, Floats] = {
    1: _BYTES / np.float32(255),
    2: _BYTES * np.float32(1 / 255),
    3: _BYTES[:17] / np.float32(16),
}
_LEVELS = {1: 255, 2: 255, 3: 16}


def encode_pixels(x: Floats, pixels: Pixels) -> tuple[Array, int]:
    """Rows x [n, ...] as float32 or, where every bit can be restored, uint8; and the number of the coding.

    Raises ExperimentError when `pixels = "uint8"` and some pixel is no k/255 or k/16.
    """
    if pixels == "float32":
        return np.ascontiguousarray(x), 0
    for coding, table in _TABLES.items():
        numbers = _numbers(x, coding, table)
        if numbers is not None:
            return numbers, coding
    if pixels == "uint8":
        raise ExperimentError(
            'Rows that travel with `pixels = "uint8"` should have pixels k/255 or k/16. '
            f'Found {float(x.min())} to {float(x.max())} with others between. Use pixels = "auto".'
        )
    return np.ascontiguousarray(x), 0


def _numbers(x: Floats, coding: int, table: Floats) -> NDArray[np.uint8] | None:
    if x.size and not (x.min() >= 0 and x.max() <= 1):  # NaN fails both
        return None
    numbers = np.rint(x * np.float32(_LEVELS[coding])).astype(np.uint8)
    return numbers if np.array_equal(table[numbers], x) else None


def decode_pixels(rows: Array, coding: int) -> Floats:
    """The float32 rows that `encode_pixels` was given, bit for bit."""
    if coding == 0:
        return rows.astype(np.float32, copy=False)
    table = _TABLES.get(coding)
    if table is None or rows.dtype != np.uint8 or (rows.size and int(rows.max()) >= len(table)):
        raise FrameError(
            f"rows should be pixels of a known coding. Found coding {coding}, dtype {rows.dtype}."
        )
    return table[rows.astype(np.intp)]
