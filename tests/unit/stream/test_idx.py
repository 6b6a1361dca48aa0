"""The MNIST family: what the official files hold comes out, and a wrong file is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from official_files import idx, write_idx, write_mnist

from mpidcl.errors import DataError
from mpidcl.stream.datasets.catalogue import make

FAMILY = ("mnist", "fashion-mnist", "kmnist")


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("gz", [True, False])
def test_reads_back_what_was_written(written: Path, name: str, gz: bool) -> None:
    train_x, train_y, test_x, test_y = write_mnist(written / name, gz=gz)
    arrays = make(name).load()
    assert np.array_equal(arrays.train_x, train_x[:, None]) and np.array_equal(arrays.train_y, train_y)
    assert np.array_equal(arrays.test_x, test_x[:, None]) and np.array_equal(arrays.test_y, test_y)
    assert arrays.train_x.dtype == np.uint8 and arrays.train_y.dtype == np.int64


def test_files_may_lie_in_the_data_folder_itself(written: Path) -> None:
    write_mnist(written)
    assert len(make("mnist").load().train_y) == 40


def test_missing_data_set_says_where_it_was_looked_for_and_how_to_get_it(written: Path) -> None:
    with pytest.raises(DataError, match="mpidcl data fetch mnist") as raised:
        make("mnist").load()
    assert str(written / "mnist") in str(raised.value) and "train-images-idx3-ubyte.gz" in str(raised.value)


def test_one_missing_file_is_named(written: Path) -> None:
    write_mnist(written / "mnist")
    (written / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="should also hold t10k-labels-idx1-ubyte.gz"):
        make("mnist").load()


def test_truncated_gzip(written: Path) -> None:
    write_mnist(written / "mnist")
    path = written / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: should be a complete gzip file"):
        make("mnist").load()


WRONG_IMAGES = {
    "truncated": (lambda raw: raw[:-1], "31360 bytes after its header. Found 31359: the file is truncated"),
    "too long": (lambda raw: raw + b"0", "Found 31361: the file is too long"),
    "a label file": (lambda raw: idx(np.arange(40) % 10), "magic number 0x00000803. Found 0x00000801"),
    "no header": (lambda raw: raw[:7], "idx header of 16 bytes. Found 7"),
    "other size": (lambda raw: idx(np.zeros((40, 8, 8))), "28 x 28 pixels. Found 8 x 8"),
    "huge promise": (lambda raw: raw[:4] + b"\xff" * 12 + raw[16:], "truncated"),
}


@pytest.mark.parametrize("case", WRONG_IMAGES)
@pytest.mark.parametrize("gz", [True, False])
def test_wrong_image_file(written: Path, case: str, gz: bool) -> None:
    arrays = write_mnist(written / "mnist", gz=gz)
    path = written / "mnist" / ("train-images-idx3-ubyte" + (".gz" if gz else ""))
    spoil, says = WRONG_IMAGES[case]
    content = spoil(idx(arrays[0]))
    path.write_bytes(gzip.compress(content) if gz else content)
    with pytest.raises(DataError, match=says) as raised:
        make("mnist").load()
    assert str(path) in str(raised.value)


def test_other_number_of_labels(written: Path) -> None:
    write_mnist(written / "mnist")
    write_idx(written / "mnist" / "train-labels-idx1-ubyte.gz", np.arange(39) % 10)
    with pytest.raises(DataError, match="label for each of the 40 images. Found 39"):
        make("mnist").load()


def test_label_out_of_range(written: Path) -> None:
    arrays = write_mnist(written / "mnist")
    write_idx(written / "mnist" / "t10k-labels-idx1-ubyte.gz", np.where(arrays[3] == 7, 10, arrays[3]))
    with pytest.raises(DataError, match="between 0 and 9. Found 10 at row 7"):
        make("mnist").load()


def test_every_bit_flip_of_a_header_is_noticed(written: Path) -> None:
    train_x = write_mnist(written / "mnist", gz=False)[0]
    path, good = written / "mnist" / "train-images-idx3-ubyte", idx(train_x)
    for bit in range(16 * 8):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            make("mnist").decode()
