"""CIFAR in the official binary layout."""

from __future__ import annotations

import pickle
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


def write_python_100(folder: Path, protocol: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows, fine in (("train", IMAGES[:10], 99 - np.arange(10)), ("test", IMAGES[10:], [0, 99])):
        held = {
            b"filenames": [b"one.png"] * len(rows),
            b"fine_labels": [int(each) for each in fine],
            b"coarse_labels": [0] * len(rows),
            b"data": rows.reshape(len(rows), -1),
        }
        (folder / name).write_bytes(pickle.dumps(held, protocol))


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("place", [".", "cifar-100-python", "cifar100/cifar-100-python"])
def test_the_files_for_python_hold_the_same(written: Path, place: str, protocol: int) -> None:
    write_python_100(written / place, protocol)
    read = make("cifar100").fingerprint()
    assert make("cifar100").load().train_y.tolist() == (99 - np.arange(10)).tolist()
    write_cifar100(written / "cifar100" / "cifar-100-binary")
    (written / place / "test").unlink()
    assert make("cifar100").sources()[0].name == "train.bin"
    assert make("cifar100").fingerprint() == read


def test_the_batches_for_python_of_cifar10(written: Path) -> None:
    folder = written / "cifar-10-batches-py"
    folder.mkdir()
    for batch in range(6):
        rows = slice(2 * batch, 2 * batch + 2)
        labels = [2 * batch % 10, 9]
        held = {"labels": labels, "data": np.asfortranarray(IMAGES[rows].reshape(2, -1))}
        name = f"data_batch_{batch + 1}" if batch < 5 else "test_batch"
        (folder / name).write_bytes(pickle.dumps(held, 2))
    arrays = make("cifar10").load()
    assert np.array_equal(arrays.train_x, IMAGES[:10]) and np.array_equal(arrays.test_x, IMAGES[10:])
    assert arrays.train_y.tolist() == [0, 9, 2, 9, 4, 9, 6, 9, 8, 9]


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"data": IMAGES[:2].reshape(2, -1)}, "Found: no 'fine_labels'"),
        ({"fine_labels": [1, 2]}, "Found: no 'data'"),
        ({"data": IMAGES[:2].reshape(2, -1), "fine_labels": [1]}, "each of the 2 images. Found 1"),
        (
            {"data": IMAGES[:2].reshape(2, -1), "fine_labels": [1, 100]},
            "between 0 and 99. Found 100 at row 1",
        ),
        ({"data": IMAGES[:2].reshape(2, -1), "fine_labels": [1, "a"]}, "Found: invalid literal"),
        ({"data": IMAGES[:2, 0], "fine_labels": [1, 2]}, "Found: cannot reshape"),
        ({"data": np.zeros((2, 3072)), "fine_labels": [1, 2]}, "an array should hold bytes"),
        ([1, 2], "Found: 'list' object"),
        ({"data": b"12", "fine_labels": [1, 2]}, "Found: 'bytes' object"),
    ],
)
def test_wrong_files_for_python(written: Path, held: object, says: str) -> None:
    write_python_100(written)
    (written / "train").write_bytes(pickle.dumps(held, 2))
    with pytest.raises(DataError, match=f"train: .*should .*{says}"):
        make("cifar100").load()
