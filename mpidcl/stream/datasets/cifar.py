"""CIFAR-10 and CIFAR-100 in the official binary layout: records of label bytes and 3072 pixel bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mpidcl.errors import DataError
from mpidcl.stream.datasets.base import Arrays, DataSet, Download, Info, Labels, Pixels, SourceFile
from mpidcl.stream.datasets.idx import check_labels

if TYPE_CHECKING:
    from pathlib import Path

HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
LICENCE = "no formal licence; research use, cite Krizhevsky 2009"
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


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


class CIFAR10(DataSet):
    """Ten classes of small colour photographs (Krizhevsky 2009), five training batches and a test batch."""

    label_bytes: ClassVar[int] = 1
    info = Info(
        name="cifar10", shape=SHAPE, classes=10, train=50_000, test=10_000, seen=False,
        home=HOME, licence=LICENCE,
        folders=("cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin"),
        files=tuple(SourceFile(f"data_batch_{i}.bin") for i in range(1, 6)) + (SourceFile("test_batch.bin"),),
        downloads=(Download(
            ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170_052_171,
        ),),
    )  # fmt: skip

    def decode(self) -> Arrays:
        """Read all batches; the last file holds the test images. Raises DataError."""
        read = [read_records(path, self.label_bytes, self.info.classes) for path in self.sources()]
        pixels, labels = zip(*read, strict=True)
        return Arrays(np.concatenate(pixels[:-1]), np.concatenate(labels[:-1]), pixels[-1], labels[-1])


class CIFAR100(CIFAR10):
    """A hundred fine classes; the coarse label of each record is not used."""

    label_bytes: ClassVar[int] = 2
    info = Info(
        name="cifar100", shape=SHAPE, classes=100, train=50_000, test=10_000,
        home=HOME, licence=LICENCE,
        folders=("cifar100", "cifar100/cifar-100-binary", "cifar-100-binary"),
        files=(
            SourceFile(
                "train.bin", "sha256:f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"
            ),
            SourceFile(
                "test.bin", "sha256:d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"
            ),
        ),
        downloads=(Download(
            ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
            "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", 168_513_733,
        ),),
    )  # fmt: skip
