"""Where data come from: the published files, a version of one's own, or, by mistake, another data set.

Several data sets have files of the same names. Their published hashes tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from mpidcl.errors import DataError
from mpidcl.printable import printable
from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.contents import hashes_of

if TYPE_CHECKING:
    from pathlib import Path

    from mpidcl.stream.datasets.base import DataSet, SourceFile
    from mpidcl.stream.datasets.contents import Hashes


OWN = "own version"
"""How the line on data begins whose published hashes are known and are others."""


def origin_of(dataset: DataSet) -> str:
    """One line on where the data come from; it begins with `OWN` where a published hash differs.

    Raises DataError for a missing file, and for one that belongs to another data set.
    """
    info = dataset.info
    if info.package:
        return f"part of {info.package}"
    refuse_others(dataset)
    files = examine(dataset)
    if not files and dataset.place() is None:
        return f"made by {type(dataset).__module__}:{type(dataset).__name__}"
    own = [each for each in files if each.published is False]
    if own:
        names, folder = ", ".join(each.file.name for each in own), places.locate(info)
        return printable(f"{OWN} of {names} in {folder}: not the published hashes", keep="")
    if files and all(each.published for each in files):
        return "published files"
    return "files whose hashes were never published"


@dataclass(frozen=True, slots=True)
class Examined:
    """A file of a data set: what it should be, where it lies, and the hashes that it has.

    `published`: has it the published hash? None where none is known. `other` is the data set, and the file of
    it, that this really is.
    """

    file: SourceFile
    path: Path
    hashes: Hashes
    published: bool | None
    other: tuple[str, str] | None


def examine(dataset: DataSet) -> list[Examined]:
    """Every file that `decode` reads and that could have a published hash. Raises DataError."""
    found = dataset.found()
    try:
        hashes = hashes_of([path for _, path in found])
    except OSError as reason:
        raise places.unreadable(dataset.info, reason) from reason
    return [_examined(*pair, each) for pair, each in zip(found, hashes, strict=True)]


def _examined(file: SourceFile, path: Path, hashes: Hashes) -> Examined:
    expected = file.hash if path.name == file.name else file.unpacked
    if hashes.match(expected):
        return Examined(file, path, hashes, True, None)
    known = _published_files()
    other = known.get(f"sha256:{hashes.sha256}") or known.get(f"md5:{hashes.md5}")
    return Examined(file, path, hashes, None if expected is None else False, other)


def refuse_others(dataset: DataSet) -> None:
    """Raise DataError for the first file that is a published one of another data set, or another part."""
    info = dataset.info
    for each in examine(dataset):
        if each.other is not None:
            raise DataError(
                f"{each.path}: should be {each.file.name} of {info.name}. Found "
                f"{each.other[1]} of {each.other[0]}, by its published hash. Set MPIDCL_DATA to the "
                f"folder that holds one for each data set, {info.key}/ for {info.name}. Or unset it, and get "
                f"the data set with `mpidcl data fetch {info.key}` on a machine with network."
            )


@cache
def _published_files() -> dict[str, tuple[str, str]]:
    """Data set and file name of every published hash."""
    from mpidcl.stream.datasets.catalogue import make, names

    known: dict[str, tuple[str, str]] = {}
    for form in (form for name in names() for part in make(name).parts() for form in part.forms()):
        for file in (file for files in (form.info.files, *form.info.others) for file in files):
            for value in filter(None, (file.hash, file.unpacked)):
                known.setdefault(value, (form.info.name, file.name))
    return known
