"""What a data set is: facts known without its files, and arrays read from them on demand."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from mpidcl.experiment.options import Options as Table
from mpidcl.experiment.part import Part
from mpidcl.stream.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Download:
    """One thing that `mpidcl data fetch` takes from the official place.

    `urls` are tried in order; `hash` is "sha256:..." or "md5:..."; `bytes` is the size, None when unknown.
    An archive (.tar.gz, .zip) is unpacked beside itself.
    """

    urls: tuple[str, ...]
    hash: str
    bytes: int | None = None

    @property
    def name(self) -> str:
        """File name under which it is kept."""
        return self.urls[0].rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that the loader reads; `hash` is None where no hash was ever published.

    `unpacked` is the hash of a `.gz` file's content, for those who keep it unpacked.
    """

    name: str
    hash: str | None = None
    unpacked: str | None = None


@dataclass(frozen=True, slots=True)
class Info:
    """What is known of a data set without any of its files.

    `shape` is (channels, height, width), `maximum` the largest pixel value, `train` and `test` the official
    numbers of images (None where the deal decides). `folders` are the subfolders of a data folder in which
    the files are looked for; `others` are other sets of files that hold the same. `seen` is False for a
    loader that was never tried on the real files. `package` is the Python package that carries the data,
    where there are no files: its version stands for them.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    train: int | None
    test: int | None
    home: str
    licence: str
    folders: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()
    others: tuple[tuple[SourceFile, ...], ...] = ()
    downloads: tuple[Download, ...] = ()
    maximum: int = 255
    seen: bool = True
    package: str | None = None

    def rows_of(self, classes: int, per_class: int | None, sharers: int) -> int:
        """Training rows of so many classes, dealt to `sharers`; 0 when nobody knows."""
        if not self.train:
            return 0
        there = self.train // self.classes // sharers
        return min(there, per_class or there) * classes

    @property
    def key(self) -> str:
        """The name for `mpidcl data fetch`, and the folder that keeps what it brings."""
        return self.folders[0] if self.folders else self.name


@dataclass(frozen=True, slots=True)
class Arrays:
    """The decoded data set, read-only: uint8 pixels [n, *shape] and int64 class ids [n] of both parts."""

    train_x: Pixels
    train_y: Labels
    test_x: Pixels
    test_y: Labels


class NoOptions(Table):
    """A data set without options."""


class DataSet(Part, Source):
    """A data set by its official files. One object is cheap: nothing is read before `load`."""

    room = "dataset"
    Options: ClassVar[type[Table]] = NoOptions
    info: Info
    domains: tuple[str, ...] = ()
    """Names of the domains that its images come from; none where they are of one sort."""

    def __init__(self, options: Table | None = None) -> None:
        self.options = self.Options() if options is None else options

    def for_agent(self, agent: int) -> DataSet:
        """The data set that `agent` learns from: this one, unless the data set combines several."""
        return self

    def parts(self) -> tuple[DataSet, ...]:
        """The data sets whose files are needed: this one, unless it combines several."""
        return (self,)

    @final
    def label(self, defaults: bool) -> str:
        """The name of the data set and its options."""
        options = vars(self.options) if defaults else self.options.model_dump(exclude_defaults=True)
        return " ".join([self.info.name, *(f"{key}={value}" for key, value in options.items())])

    @final
    def here(self) -> bool:
        """Whether the files of any form of it are on this machine."""
        return bool(self.present())

    def present(self) -> tuple[DataSet, ...]:
        """The forms of this data set whose files are on this machine: none, itself, or some of its splits."""
        return (self,) if not self.info.files or self.place() else ()

    def place(self) -> Path | None:
        """The folder of its files on this machine; None where it is not here, or has no files."""
        from mpidcl.stream.datasets import places

        return places.locate(self.info) if self.info.files else None

    def forms(self) -> tuple[DataSet, ...]:
        """Every form that options can give this data set: itself, unless it has splits."""
        return (self,)

    def sources(self) -> Sequence[Path]:
        """The files to be read, in the order of `info.files`. Raises DataError for a missing one.

        A data set that names none is decoded by every process anew: nothing else tells whether what `decode`
        gives has changed.
        """
        return [path for _, path in self.found()]

    def found(self) -> list[tuple[SourceFile, Path]]:
        """The files of `info` with the place of each. Raises DataError for a missing one."""
        from mpidcl.stream.datasets import places

        return places.find(self.info)

    def domain_of(self, labels: Labels) -> Labels:
        """Place in `domains` of each row of a part [rows], by the class ids of all its rows [rows]."""
        return np.zeros(len(labels), dtype=np.int64)

    def also_read(self) -> Iterable[Path]:
        """Files that `decode` reads beside `sources`: many, of which none has a published hash."""
        return ()

    @final
    def origin(self) -> str:
        """One line on where the data come from, for the record of a run.

        It begins with "own version" when a file differs from the published one. Raises DataError for a
        missing file, and for a file of another data set.
        """
        from mpidcl.stream.datasets import origin

        return origin.origin_of(self)

    @final
    def note(self) -> str:
        """Where the data come from, if they are a version of one's own."""
        from mpidcl.stream.datasets.origin import OWN

        found = self.origin()
        return found if found.startswith(OWN) else ""

    @final
    def fingerprint(self) -> str:
        """sha256 of the decoded arrays: changes when, and only when, any row or label does.

        Belongs to what a run is. Before or after `load`: the arrays are decoded once per node for both. Of a
        data set that combines several it needs the files of all: ask those of the agents (`for_agent`)
        where only these are here. Raises DataError.
        """
        from mpidcl.stream.datasets import cache
        from mpidcl.stream.datasets.contents import joined

        parts = self.parts()
        if parts == (self,):
            return cache.load(self).fingerprint
        return joined([part.fingerprint() for part in parts])

    @abstractmethod
    def decode(self) -> Arrays:
        """Read and check the official files. Raises DataError that says file, expectation and finding."""

    def load(self) -> Arrays:
        """The decoded arrays, memory-mapped from one copy per node. Raises DataError."""
        from mpidcl.stream.datasets import cache

        return cache.load(self).arrays


def every_nth_of_each_class(labels: Labels, n: int) -> NDArray[np.bool_]:
    """Mask [rows]: True for the n-th, 2n-th ... row of each class: a fixed split without chance."""
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[n - 1 :: n]] = True
    return mask


def split_every_nth(pixels: Pixels, labels: Labels, n: int) -> Arrays:
    """Two parts of one list of rows: every n-th row of each class becomes a test row."""
    test = every_nth_of_each_class(labels, n)
    return Arrays(pixels[~test], labels[~test], pixels[test], labels[test])
