"""Writes small files in the official formats, with random pixels."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def random_images(n: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(n, *shape), dtype=np.uint8)


def idx(array: np.ndarray, magic: int | None = None) -> bytes:
    """An idx file of unsigned bytes."""
    head = 0x0800 | array.ndim if magic is None else magic
    return struct.pack(f">{1 + array.ndim}I", head, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(path: Path, array: np.ndarray, magic: int | None = None) -> None:
    content = idx(array, magic)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(folder: Path, train: int = 40, test: int = 20, gz: bool = True) -> list[np.ndarray]:
    """The four files of the MNIST family; labels 0, 1, ..., 9 in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = [
        random_images(train, (28, 28)),
        np.arange(train) % 10,
        random_images(test, (28, 28), 1),
        np.arange(test) % 10,
    ]
    for name, array in zip(NAMES, arrays, strict=True):
        write_idx(folder / (f"{name}.gz" if gz else name), array)
    return arrays


def write_records(path: Path, images: np.ndarray, *labels: np.ndarray) -> None:
    """A CIFAR file: per record the label bytes, then 3072 pixel bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [np.asarray(column, dtype=np.uint8)[:, None] for column in labels]
    path.write_bytes(np.concatenate([*columns, images.reshape(len(images), -1)], axis=1).tobytes())
