"""The idx format of the MNIST family: a magic number, the dimensions as big-endian uint32, then bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from mpidcl.stream.datasets.base import Labels, Pixels

UBYTE = 8
"""Type code of unsigned bytes, the third byte of the magic number; the fourth counts the dimensions."""


def read_images(path: Path, side: int) -> Pixels:
    """uint8 [n, 1, side, side] from an idx3 file, gzipped or plain. Raises DataError."""
    data, shape = _read(path, dimensions=3)
    if shape[1:] != (side, side):
        raise DataError(f"{path}: images should be {side} x {side} pixels. Found {shape[1]} x {shape[2]}.")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape[0], 1, side, side)


def read_labels(path: Path, images: int, classes: int, first: int = 0) -> Labels:
    """int64 [n] class ids from 0 on, from an idx1 file whose labels run from `first` on.

    Raises DataError when there is not one label per image or a label is out of range.
    """
    data, (count,) = _read(path, dimensions=1)
    if count != images:
        raise DataError(f"{path}: should hold a label for each of the {images} images. Found {count}.")
    labels = np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    check_labels(path, labels, first, classes)
    return labels - first


def check_labels(path: Path, labels: Labels, first: int, classes: int) -> None:
    """Raise DataError when a label is outside first .. first + classes - 1."""
    wrong = np.flatnonzero((labels < first) | (labels >= first + classes))
    if len(wrong):
        raise DataError(
            f"{path}: labels should be between {first} and {first + classes - 1}. "
            f"Found {labels[wrong[0]]} at row {wrong[0]}. Is it the file of another data set?"
        )


def _read(path: Path, dimensions: int) -> tuple[bytes, tuple[int, ...]]:
    raw = _bytes(path)
    head = 4 + 4 * dimensions
    if len(raw) < head:
        raise DataError(f"{path}: should begin with an idx header of {head} bytes. Found {len(raw)} in all.")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", raw[:head])
    expected = UBYTE << 8 | dimensions
    if magic != expected:
        raise DataError(
            f"{path}: should begin with the idx magic number {expected:#010x}. "
            f"Found {magic:#010x}. Is it another file under this name?"
        )
    size, found = math.prod(shape), len(raw) - head
    if found != size:
        raise DataError(
            f"{path}: should hold {' x '.join(map(str, shape))} = {size} bytes after its header. Found "
            f"{found}: the file is {'truncated' if found < size else 'too long'}. Fetch it again."
        )
    return raw[head:], tuple(shape)


def _bytes(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as reason:
        raise DataError(
            f"{path}: should be a complete gzip file. Found: {reason}. Fetch it again."
        ) from reason
