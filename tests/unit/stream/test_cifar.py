"""CIFAR in the official binary layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from official_files import random_images, write_records

from mpidcl.errors import DataError
from mpidcl.stream.datasets.catalogue import make

IMAGES = random_images(12, (3, 32, 32))


def write_cifar10(folder: Path) -> None:
    for batch in range(5):
        rows = slice(2 * batch, 2 * batch + 2)
        write_records(folder / f"data_batch_{batch + 1}.bin", IMAGES[rows], np.arange(10)[rows])
    write_records(folder / "test_batch.bin", IMAGES[10:], np.array([3, 9]))


def write_cifar100(folder: Path) -> None:
    write_records(folder / "train.bin", IMAGES[:10], np.arange(10) % 5, 99 - np.arange(10))
    write_records(folder / "test.bin", IMAGES[10:], np.array([0, 19]), np.array([0, 99]))


@pytest.mark.parametrize("place", [".", "cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin"])
def test_cifar10_batches_come_in_order(written: Path, place: str) -> None:
    write_cifar10(written / place)
    arrays = make("cifar10").load()
    assert np.array_equal(arrays.train_x, IMAGES[:10]) and np.array_equal(arrays.train_y, np.arange(10))
    assert np.array_equal(arrays.test_x, IMAGES[10:]) and arrays.test_y.tolist() == [3, 9]


@pytest.mark.parametrize("place", [".", "cifar100/cifar-100-binary"])
def test_cifar100_takes_the_fine_label(written: Path, place: str) -> None:
    write_cifar100(written / place)
    arrays = make("cifar100").load()
    assert np.array_equal(arrays.train_x, IMAGES[:10]) and np.array_equal(arrays.train_y, 99 - np.arange(10))
    assert np.array_equal(arrays.test_x, IMAGES[10:]) and arrays.test_y.tolist() == [0, 99]


@pytest.mark.parametrize("cut", [1, 3000])
def test_truncated_file(written: Path, cut: int) -> None:
    write_cifar100(written)
    path = written / "train.bin"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match=rf"whole records of 3074 bytes.*Found {30740 - cut} bytes") as raised:
        make("cifar100").load()
    assert str(path) in str(raised.value)


def test_empty_file(written: Path) -> None:
    write_cifar10(written)
    (written / "data_batch_3.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"data_batch_3.bin.*Found 0 bytes"):
        make("cifar10").load()


def test_records_of_the_other_cifar(written: Path) -> None:
    write_cifar10(written)
    write_records(written / "test_batch.bin", IMAGES[10:], np.array([0, 1]), np.array([0, 99]))
    with pytest.raises(DataError, match="whole records of 3073 bytes"):
        make("cifar10").load()


def test_label_out_of_range(written: Path) -> None:
    write_cifar100(written)
    write_records(written / "test.bin", IMAGES[10:], np.array([0, 1]), np.array([5, 100]))
    with pytest.raises(DataError, match="between 0 and 99. Found 100 at row 1"):
        make("cifar100").load()


def test_a_missing_batch_is_named(written: Path) -> None:
    write_cifar10(written)
    (written / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match="should also hold data_batch_4.bin"):
        make("cifar10").load()
