"""Tiny-ImageNet-200: the official folder of JPEG files; the official validation images are the test part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpidcl.errors import DataError
from mpidcl.stream.datasets.base import Arrays, DataSet, Download, Info, Labels, Pixels, SourceFile

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (3, 64, 64)


class TinyImageNet(DataSet):
    """200 classes x 500 training and 50 validation images; class ids follow the sorted WordNet names.

    Grey images become three equal channels.
    """

    info = Info(
        name="tiny-imagenet", shape=SHAPE, classes=200, train=100_000, test=10_000, seen=False,
        home="http://cs231n.stanford.edu/",
        licence="no licence file; ImageNet terms of access (research use)",
        folders=("tiny-imagenet", "tiny-imagenet/tiny-imagenet-200", "tiny-imagenet-200"),
        # val_annotations.txt has the same name everywhere; wnids.txt is what tells this folder from another.
        files=(SourceFile("wnids.txt"), SourceFile("val/val_annotations.txt")),
        others=((SourceFile("wnids.txt"),),),
        downloads=(Download(
            ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
            "md5:90528d7ca1a48142e341f4ef8d21d0de", 248_100_043,
        ),),
    )  # fmt: skip

    def also_read(self) -> list[Path]:
        """All images."""
        return [path for path, _ in (*self._training(), *self._validation())]

    def decode(self) -> Arrays:
        """Read every image of the folder. Raises DataError."""
        return Arrays(*_read(self._training()), *_read(self._validation()))

    def _classes(self) -> tuple[Path, dict[str, int]]:
        """The folder, and the class id of each WordNet name."""
        names = self.sources()[0]
        class_of = {name: label for label, name in enumerate(sorted({*map(str.strip, read_lines(names))}))}
        if not class_of or len(class_of) > self.info.classes:
            raise DataError(f"{names}: should name up to {self.info.classes} classes. Found {len(class_of)}.")
        return names.parent, class_of

    def _training(self) -> list[tuple[Path, int]]:
        folder, class_of = self._classes()
        return [
            (path, label)
            for name, label in class_of.items()
            for path in _images(folder / "train" / name, f"the training images of class {name}")
        ]

    def _validation(self) -> list[tuple[Path, int]]:
        folder, class_of = self._classes()
        if len(self.sources()) == 1:
            return _by_folder(folder / "val", class_of)
        return _by_annotation(self.sources()[1], class_of)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, none of them empty. Raises DataError when it is not UTF-8."""
    try:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as reason:
        raise DataError(f"{path}: should be text in UTF-8. Found {reason}. Fetch it again.") from reason


def _images(folder: Path, what: str) -> list[Path]:
    """JPEG files of a class, by number: in the subfolder `images`, as published, or in the folder itself."""
    files = [*folder.glob("images/*.JPEG")] or [*folder.glob("*.JPEG")]
    if not files:
        raise DataError(f"{folder / 'images'}: should hold {what}. Found none.")
    return sorted(files, key=_number)


def _number(path: Path) -> tuple[int, str]:
    return len(path.name), path.name


def _by_annotation(annotations: Path, class_of: dict[str, int]) -> list[tuple[Path, int]]:
    """The validation images in the published order; they may have been sorted into a folder per class."""
    found = []
    for number, line in enumerate(read_lines(annotations), start=1):
        words = line.split("\t")
        if len(words) < 2 or words[1] not in class_of:
            raise DataError(
                f"{annotations}, line {number}: should be an image and a class of wnids.txt. "
                f"Found {line[:60]!r}."
            )
        found.append((_validation_image(annotations.parent, *words[:2]), class_of[words[1]]))
    if not found:
        raise DataError(
            f"{annotations}: should name the class of each validation image. Found an empty file."
        )
    return found


def _validation_image(val: Path, image: str, name: str) -> Path:
    places = (val / "images", val / name / "images", val / name)
    return next((each / image for each in places if (each / image).is_file()), places[0] / image)


def _by_folder(val: Path, class_of: dict[str, int]) -> list[tuple[Path, int]]:
    """The validation images of a folder per class. Their numbers are the published order."""
    found = [
        (path, label)
        for name, label in class_of.items()
        for path in _images(val / name, f"the validation images of class {name}")
    ]
    return sorted(found, key=lambda image: _number(image[0]))


def _read(files: list[tuple[Path, int]]) -> tuple[Pixels, Labels]:
    pixels = np.empty((len(files), *SHAPE), dtype=np.uint8)
    for row, (path, _) in enumerate(files):
        pixels[row] = _image(path)
    return pixels, np.array([label for _, label in files], dtype=np.int64)


def _image(path: Path) -> Pixels:
    from PIL import Image

    try:
        with Image.open(path) as image:
            array = np.asarray(image.convert("RGB"), dtype=np.uint8)
    except Exception as reason:  # pillow has many kinds of errors for broken images
        raise DataError(f"{path}: should be a readable image. Found: {reason}.") from reason
    if array.shape != (*SHAPE[1:], SHAPE[0]):
        raise DataError(f"{path}: should have 64 x 64 pixels. Found {array.shape[1]} x {array.shape[0]}.")
    return array.transpose(2, 0, 1)
