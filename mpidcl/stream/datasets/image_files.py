"""Images in folders, DOMAIN/CLASS/*.png or *.jpg: which there are, and each as bytes of one size."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from mpidcl.stream.datasets.base import Pixels

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")

MOST_PIXELS = 50_000_000
"""Of one image as it lies on disk. A small file may unpack to any number of them; photographs have fewer."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Of Pillow, with 8 bits per channel. What has more would be cut off at 255 when it becomes RGB."""


def images_of(top: Path, domains: Sequence[str], classes: int) -> list[list[list[Path]]]:
    """The images of each domain and class, in the order of `domains`, and of the names of classes and files.

    Names that begin with a dot are passed over. Raises DataError for whatever else is not an image in the
    folder of a class in the folder of a domain, and when domains do not have the same `classes` classes.
    """
    found = [_classes_of(_domain(top, name), top) for name in domains]
    for name, mine in zip(domains, found, strict=True):
        _check_classes(top / name, list(mine), classes, domains[0], list(found[0]))
    return [[_images(folder, top) for folder in mine.values()] for mine in found]


def _domain(top: Path, name: str) -> Path:
    inside = {entry.name: entry for entry in _entries(top, top)}
    if name not in inside or not inside[name].is_dir():
        there = [entry.name for entry in inside.values() if entry.is_dir()]
        raise DataError(
            f"{top / name}: should be the folder of the domain {name}.{_other_case(name, there)} Found there:"
            f" {_names(there)}. `stream.data.domains` says which domains there are."
        )
    return top / name


def _classes_of(domain: Path, top: Path) -> dict[str, Path]:
    found = {}
    for entry in _entries(domain, top):
        if not entry.is_dir():
            raise DataError(
                f"{entry.path}: should be the folder of a class. Found a file. Images belong into "
                "DOMAIN/CLASS/, and nothing else into the folder of a domain."
            )
        found[entry.name] = domain / entry.name
    return found


def _check_classes(domain: Path, mine: list[str], classes: int, first: str, wanted: list[str]) -> None:
    missing, more = sorted({*wanted} - {*mine}), sorted({*mine} - {*wanted})
    if missing:
        raise DataError(
            f"{domain}: should have the classes of {first}. Missing: {_names(missing)}."
            f"{_other_case(missing[0], mine)} A class must be in all domains, with one spelling."
        )
    if more:
        raise DataError(
            f"{domain}: should have the classes of {first} and no others. Found {_names(more)}."
            f"{_other_case(more[0], wanted)} A class must be in all domains, with one spelling."
        )
    if len(mine) != classes:
        raise DataError(
            f"{domain}: should have {classes} folders of classes (`stream.data.classes`). Found {len(mine)}: "
            f"{_names(mine)}."
        )


def _images(folder: Path, top: Path) -> list[Path]:
    found = []
    for entry in _entries(folder, top):
        if not entry.is_file():
            kind = "a folder" if entry.is_dir() else "something else"
            raise DataError(f"{entry.path}: should be a file with an image. Found {kind}. Remove it.")
        if not entry.name.lower().endswith(SUFFIXES):
            raise DataError(
                f"{entry.path}: should be an image, {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}. Found "
                "another kind of file. Convert or remove it."
            )
        found.append(folder / entry.name)
    if len(found) < 2:
        raise DataError(
            f"{folder}: should hold at least 2 images of its class, one to train and one to test. Found "
            f"{len(found)}."
        )
    return found


def _entries(folder: Path, top: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name. Raises DataError for a link out of `top`, or to nothing."""
    with os.scandir(folder) as there:
        entries = sorted((e for e in there if not e.name.startswith(".")), key=lambda e: e.name)
    for entry in entries:
        target = os.path.realpath(entry.path) if entry.is_symlink() else ""
        if target and not Path(target).is_relative_to(os.path.realpath(top)):
            raise DataError(
                f"{entry.path}: should lie in {top}, as everything that the data set is made of. Found a"
                f" link to {target}. Put a copy in its place."
            )
        if target and not os.path.exists(target):
            raise DataError(
                f"{entry.path}: should lead to an image in {top}. Found a link that leads nowhere. Remove it."
            )
    return entries


def _other_case(name: str, there: Sequence[str]) -> str:
    alike = [each for each in there if each.casefold() == name.casefold()]
    return f" {alike[0]} is spelt otherwise: upper and lower case count." if alike else ""


def _names(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


def read_image(path: Path, size: int) -> Pixels:
    """uint8 [3, size, size]: red, green, blue of an image, stretched or shrunk with antialiasing.

    Transparency and the orientation that a camera noted are passed over, as torchvision's `ImageFolder` does.
    Raises DataError for what is no image, a part of one, or one of too many pixels.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd files: what cannot be read is an error below
            with Image.open(path, formats=FORMATS) as image:
                _check_header(path, image)
                square = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    except DataError:
        raise
    except Exception as reason:  # pillow has many kinds of errors for broken images
        raise DataError(
            f"{path}: should be a readable {' or '.join(FORMATS)} image. Found: {reason}. Mend or remove it."
        ) from reason
    return np.asarray(square, dtype=np.uint8).transpose(2, 0, 1)


def _check_header(path: Path, image: Image) -> None:
    """Before anything is unpacked."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{path}: should have at most {MOST_PIXELS:,} pixels. Found {width} x {height}. Shrink or"
            " remove it."
        )
    if image.mode not in MODES:
        raise DataError(
            f"{path}: should have 8 bits per channel. Found Pillow's mode {image.mode}. Convert it."
        )
