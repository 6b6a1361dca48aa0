"""Tiny-ImageNet-200: the official folder of JPEG files; the official validation images are the test part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mpidcl.errors import DataError
from mpidcl.stream.datasets.base import Arrays, DataSet, Download, Info, Labels, Pixels, SourceFile

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (3, 64, 64)


class TinyImageNet(DataSet):
    """200 classes x 500 training and 50 validation images; class ids follow the sorted WordNet names.

    Needs pillow (which matplotlib brings along). Grey images become three equal channels.
    """

    info = Info(
        name="tiny-imagenet", shape=SHAPE, classes=200, train=100_000, test=10_000, seen=False,
        home="http://cs231n.stanford.edu/",
        licence="no licence file; ImageNet terms of access (research use)",
        folders=("tiny-imagenet", "tiny-imagenet/tiny-imagenet-200", "tiny-imagenet-200"),
        # val_annotations.txt has the same name everywhere; wnids.txt is what tells this folder from another.
        files=(SourceFile("wnids.txt"), SourceFile("val/val_annotations.txt")),
        downloads=(Download(
            ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
            "md5:90528d7ca1a48142e341f4ef8d21d0de", 248_100_043,
        ),),
    )  # fmt: skip

    def decode(self) -> Arrays:
        """Read every image of the folder. Raises DataError."""
        names, annotations = self.sources()
        class_of = {name: label for label, name in enumerate(sorted(names.read_text().split()))}
        if not class_of or len(class_of) > self.info.classes:
            raise DataError(f"{names}: should name up to {self.info.classes} classes. Found {len(class_of)}.")
        train = [
            (path, label)
            for name, label in class_of.items()
            for path in _training_files(names.parent / "train", name)
        ]
        return Arrays(*_read(train), *_read(_validation_files(annotations, class_of)))


def _training_files(train: Path, name: str) -> list[Path]:
    folder = train / name / "images"
    files = sorted(folder.glob("*.JPEG"), key=lambda path: (len(path.name), path.name))
    if not files:
        raise DataError(f"{folder}: should hold the training images of class {name}. Found none.")
    return files


def _validation_files(annotations: Path, class_of: dict[str, int]) -> list[tuple[Path, int]]:
    found = []
    for number, line in enumerate(annotations.read_text().splitlines(), start=1):
        words = line.split("\t")
        if len(words) < 2 or words[1] not in class_of:
            raise DataError(
                f"{annotations}, line {number}: should be an image and a class of wnids.txt. "
                f"Found {line[:60]!r}."
            )
        found.append((annotations.parent / "images" / words[0], class_of[words[1]]))
    if not found:
        raise DataError(
            f"{annotations}: should name the class of each validation image. Found an empty file."
        )
    return found


def _read(files: list[tuple[Path, int]]) -> tuple[Pixels, Labels]:
    pixels = np.empty((len(files), *SHAPE), dtype=np.uint8)
    images = _pillow()
    for row, (path, _) in enumerate(files):
        pixels[row] = _image(images, path)
    return pixels, np.array([label for _, label in files], dtype=np.int64)


def _image(images: Any, path: Path) -> Pixels:
    try:
        with images.open(path) as image:
            array = np.asarray(image.convert("RGB"), dtype=np.uint8)
    except OSError as reason:  # pillow's own errors for a broken image are OSErrors too
        raise DataError(f"{path}: should be a readable image. Found: {reason}.") from reason
    if array.shape != (*SHAPE[1:], SHAPE[0]):
        raise DataError(f"{path}: should have 64 x 64 pixels. Found {array.shape[1]} x {array.shape[0]}.")
    return array.transpose(2, 0, 1)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as reason:
        raise DataError(
            "tiny-imagenet is made of JPEG files and needs pillow: pip install pillow"
        ) from reason
    return Image
