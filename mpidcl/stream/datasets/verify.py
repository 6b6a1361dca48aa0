"""`mpidcl data list` and `mpidcl data verify`: what is known, what is here, is it the real thing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpidcl.errors import DataError
from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.catalogue import make, names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mpidcl.stream.datasets.base import DataSet, Info, Labels, SourceFile


@dataclass(frozen=True, slots=True)
class Listing:
    """One line of `mpidcl data list`; `place` is "embedded", the folder of the files, or "not here"."""

    name: str
    info: Info
    place: str


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of `verify`: `ok` is False when what was found is not what should be."""

    what: str
    ok: bool
    found: str


def listing() -> list[Listing]:
    """Every data set known by a short name, and where its files are. Reads no data."""
    return [Listing(name, dataset.info, _place(dataset)) for name, dataset in ((n, make(n)) for n in names())]


def _place(dataset: DataSet) -> str:
    if dataset.parts() != (dataset,):
        return "made of " + ", ".join(part.info.name for part in dataset.parts())
    if not dataset.info.files:
        return "embedded"
    folder = places.locate(dataset.info)
    return "not here" if folder is None else str(folder)


def verify(name: str, options: Mapping[str, object] | None = None) -> list[Check]:
    """Check the files of a data set: published hashes where there are any, structure, official counts.

    Raises DataError when files are missing; wrong files become findings with `ok` False.
    """
    return [check for part in make(name, options).parts() for check in _verify_one(part)]


def _verify_one(dataset: DataSet) -> list[Check]:
    if not dataset.info.files:
        return _contents(dataset)
    pairs = zip(dataset.info.files, dataset.sources(), strict=True)
    return [_file(file, path) for file, path in pairs] + _contents(dataset)


def _file(file: SourceFile, path: Path) -> Check:
    what = str(path)
    if file.hash is None:
        return Check(what, True, "no published hash: its structure is checked instead")
    if path.name != file.name:
        return Check(what, True, f"unpacked {file.name}: its structure is checked instead")
    algorithm, _, expected = file.hash.partition(":")
    with open(path, "rb") as handle:
        found = hashlib.file_digest(handle, algorithm).hexdigest()
    if found == expected:
        return Check(what, True, f"published {algorithm}")
    return Check(what, False, f"should have {algorithm} {expected}, has {found}")


def _contents(dataset: DataSet) -> list[Check]:
    info = dataset.info
    try:
        arrays = dataset.decode()
    except DataError as reason:
        return [Check(info.name, False, str(reason))]
    return [
        _count(f"{info.name} training part", info, info.train, arrays.train_y),
        _count(f"{info.name} test part", info, info.test, arrays.test_y),
    ]


def _count(what: str, info: Info, official: int | None, labels: Labels) -> Check:
    classes = len(set(labels.tolist()))
    found = f"{len(labels)} images of {classes} classes"
    if official not in (None, len(labels)) or classes != info.classes:
        return Check(what, False, f"should have {official} images of {info.classes} classes, has {found}")
    return Check(what, True, found)
