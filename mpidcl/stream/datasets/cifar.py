"""CIFAR-10 and CIFAR-100: records of label bytes and 3072 pixel bytes, or the files made for Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mpidcl.errors import DataError
from mpidcl.stream.datasets.base import Arrays, DataSet, Download, Info, Labels, Pixels, SourceFile
from mpidcl.stream.datasets.idx import check_labels
from mpidcl.stream.datasets.plain_pickle import UnplainError, read_plain

if TYPE_CHECKING:
    from pathlib import Path

HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
LICENCE = "no formal licence; research use, cite Krizhevsky 2009"
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32

PYTHON_10 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


def read_records(path: Path, label_bytes: int, classes: int) -> tuple[Pixels, Labels]:
    """uint8 [n, 3, 32, 32] and int64 [n] from a file of records; the last label byte is the class.

    Raises DataError when the length is not a whole number of records or a label is out of range.
    """
    raw = np.fromfile(path, dtype=np.uint8)
    record = label_bytes + PIXELS
    if len(raw) == 0 or len(raw) % record:
        raise DataError(
            f"{path}: should hold whole records of {record} bytes ({label_bytes} of labels, {PIXELS} of "
            f"pixels). Found {len(raw)} bytes, {len(raw) % record} after the last whole one. Fetch it again."
        )
    rows = raw.reshape(-1, record)
    labels = rows[:, label_bytes - 1].astype(np.int64)
    check_labels(path, labels, 0, classes)
    return np.ascontiguousarray(rows[:, label_bytes:]).reshape(-1, *SHAPE), labels


def read_batch(path: Path, key: str, classes: int) -> tuple[Pixels, Labels]:
    """uint8 [n, 3, 32, 32] and int64 [n] from a file made for Python, whose pickle is read, never run.

    `key` is the name of the labels. Raises DataError.
    """
    try:
        content = {_text(name): value for name, value in read_plain(path.read_bytes()).items()}
        pixels = content["data"].reshape(-1, PIXELS)
        labels = np.array(content[key], dtype=np.int64)
    except (UnplainError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as reason:
        said = f"no {reason}" if isinstance(reason, KeyError) else str(reason)
        raise DataError(
            f"{path}: should be the official file for Python, a dictionary with `data` and `{key}`. "
            f"Found: {said}. Fetch it again, or take the binary files."
        ) from reason
    if labels.shape != (len(pixels),):
        raise DataError(
            f"{path}: should hold a label for each of the {len(pixels)} images. Found {len(labels)}."
        )
    check_labels(path, labels, 0, classes)
    return np.ascontiguousarray(pixels).reshape(-1, *SHAPE), labels


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


class CIFAR10(DataSet):
    """Ten classes of small colour photographs (Krizhevsky 2009), five training batches and a test batch."""

    label_bytes: ClassVar[int] = 1
    label_key: ClassVar[str] = "labels"
    info = Info(
        name="cifar10", shape=SHAPE, classes=10, train=50_000, test=10_000, seen=False,
        home=HOME, licence=LICENCE,
        folders=(
            "cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin",
            "cifar10/cifar-10-batches-py", "cifar-10-batches-py",
        ),
        files=tuple(SourceFile(f"data_batch_{i}.bin") for i in range(1, 6)) + (SourceFile("test_batch.bin"),),
        others=(tuple(SourceFile(name, f"md5:{value}") for name, value in PYTHON_10.items()),),
        downloads=(Download(
            ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170_052_171,
        ),),
    )  # fmt: skip

    def decode(self) -> Arrays:
        """Read all batches; the last file holds the test images. Raises DataError."""
        read = [self._read(path) for path in self.sources()]
        pixels, labels = zip(*read, strict=True)
        return Arrays(np.concatenate(pixels[:-1]), np.concatenate(labels[:-1]), pixels[-1], labels[-1])

    def _read(self, path: Path) -> tuple[Pixels, Labels]:
        if path.suffix == ".bin":
            return read_records(path, self.label_bytes, self.info.classes)
        return read_batch(path, self.label_key, self.info.classes)


class CIFAR100(CIFAR10):
    """A hundred fine classes; the coarse label of each record is not used."""

    label_bytes: ClassVar[int] = 2
    label_key: ClassVar[str] = "fine_labels"
    info = Info(
        name="cifar100", shape=SHAPE, classes=100, train=50_000, test=10_000,
        home=HOME, licence=LICENCE,
        folders=(
            "cifar100", "cifar100/cifar-100-binary", "cifar-100-binary",
            "cifar100/cifar-100-python", "cifar-100-python",
        ),
        files=(
            SourceFile(
                "train.bin", "sha256:f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"
            ),
            SourceFile(
                "test.bin", "sha256:d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"
            ),
        ),
        others=((
            SourceFile("train", "md5:16019d7e3df5f24257cddd939b257f8d"),
            SourceFile("test", "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"),
        ),),
        downloads=(Download(
            ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
            "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", 168_513_733,
        ),),
    )  # fmt: skip
