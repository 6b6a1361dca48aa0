"""Folders of domains, as PACS and Office-Home have: DOMAIN/CLASS/*.png or *.jpg, the same classes in each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, cast

import numpy as np
from pydantic import Field, field_validator

from mpidcl.base.machine import memory_bytes
from mpidcl.errors import DataError
from mpidcl.experiment.options import Options as Table
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.base import Arrays, DataSet, Info, Labels, Pixels, SourceFile
from mpidcl.stream.datasets.image_files import images_of, read_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACS = ("photo", "art_painting", "cartoon", "sketch")
OFFICE_HOME = ("Art", "Clipart", "Product", "Real World")


class FoldersOptions(Table):
    """Where the images lie, and what is made of them. The defaults are those of PACS."""

    folder: str = Field(
        default="pacs",
        min_length=1,
        description="the folder that holds one folder per domain: a path, or a name that is looked for in"
        " MPIDCL_DATA, among fetched data and in the current folder",
    )
    domains: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=PACS, min_length=1, description="folders of the domains, in the order of the tasks"
    )
    classes: int = Field(
        default=7, ge=2, le=100_000, description="how many classes, that is folders, each domain has"
    )
    size: int = Field(
        default=64, ge=8, le=1024, description="images are stretched or shrunk to size x size pixels"
    )
    test_share: float = Field(
        default=0.2, gt=0, lt=1, description="share of the images of each class and domain that are for tests"
    )
    test_seed: int = Field(
        default=0, ge=0, le=2**62, description="numbers the draws of the images that are for tests"
    )

    @field_validator("folder")
    @classmethod
    def _a_path(cls, folder: str) -> str:
        if not folder.isprintable():
            raise ValueError(f"should be the path of a folder. Found {folder!r}")
        return folder

    @field_validator("domains")
    @classmethod
    def _names(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        for name in domains:
            if not name.isprintable() or name in ("", ".", "..") or "/" in name:
                raise ValueError(f"should be names of folders in the folder of the data set. Found {name!r}")
        if len(set(domains)) < len(domains):
            raise ValueError(f"should name each domain once. Found {', '.join(domains)}")
        return domains


class Folders(DataSet):
    """Images in one folder per domain, and there in one per class. Class ids follow the sorted names.

    Rows come domain by domain, and class by class within each: a class id that falls is where the next domain
    begins, so `domain_of` needs no more than class ids.
    """

    Options = FoldersOptions

    def __init__(self, options: Table | None = None) -> None:
        super().__init__(options)
        self.chosen = cast(FoldersOptions, self.options)
        self.domains = self.chosen.domains
        self.info = _info(self.chosen)

    def forms(self) -> tuple[DataSet, ...]:
        """The published data sets of this layout."""
        office = FoldersOptions(folder="office-home", domains=OFFICE_HOME, classes=65)
        return Folders(), Folders(office)

    def present(self) -> tuple[DataSet, ...]:
        """This data set; where nothing was chosen, all published ones that are here."""
        forms = self.forms() if self.chosen == FoldersOptions() else (self,)
        return tuple(form for form in forms if form.place() is not None)

    def place(self) -> Path | None:
        """The first folder that holds all domains, else the first with any."""
        wanted: tuple[Callable[..., bool], ...] = (all, any)
        for enough in wanted:
            for folder in self._folders():
                if enough(_is_folder(folder / name) for name in self.domains):
                    return folder
        return None

    def found(self) -> list[tuple[SourceFile, Path]]:
        """No single file: images are `also_read`. Raises DataError where there is no folder of a domain."""
        if self.place() is None:
            looked = "\n  ".join(f"{folder}{_held(folder)}" for folder in self._folders())
            raise DataError(
                f"The data set {self.info.name} is not on this machine. A folder should hold one for each "
                f"domain, {', '.join(self.domains)}, with one for each class in it. It was looked for in:\n  "
                f"{looked}\nSet `stream.data.folder` and `stream.data.domains`, or MPIDCL_DATA to "
                "what holds the folder."
            )
        return []

    def also_read(self) -> list[Path]:
        """All images. Raises DataError."""
        return [path for domain in self._images() for images in domain for path in images]

    def decode(self) -> Arrays:
        """Read every image, and keep some of each class and domain for tests. Raises DataError."""
        images = self._images()
        self._check_room(sum(len(each) for domain in images for each in domain))
        parts: tuple[list[tuple[Path, int]], ...] = ([], [])
        for name, domain in zip(self.domains, images, strict=True):
            for label, paths in enumerate(domain):
                test = self._for_tests(name, label, len(paths))
                for number, path in enumerate(paths):
                    parts[number in test].append((path, label))
        return Arrays(*self._read(parts[0]), *self._read(parts[1]))

    def domain_of(self, labels: Labels) -> Labels:
        """Place in `domains` of each row of a part, by the class ids of all its rows [rows]."""
        return np.cumsum(np.diff(labels, prepend=labels[:1]) < 0)

    def _images(self) -> list[list[list[Path]]]:
        self.found()
        top = self.place()
        return [] if top is None else images_of(top, self.domains, self.chosen.classes)

    def _folders(self) -> list[Path]:
        given = places.expanded(self.chosen.folder, "`stream.data.folder`")
        return [*dict.fromkeys((*places.search_folders(self.info), given))]

    def _for_tests(self, domain: str, label: int, images: int) -> set[int]:
        """Numbers of the images of one class and domain that are for tests: at least one, and not all."""
        wanted = min(max(1, round(self.chosen.test_share * images)), images - 1)
        generator = numpy_generator(self.chosen.test_seed, EVERYBODY, f"test images of {domain}", label)
        return set(generator.permutation(images)[:wanted].tolist())

    def _check_room(self, images: int) -> None:
        needed, size = images * 3 * self.chosen.size**2, self.chosen.size
        if needed > memory_bytes():
            raise DataError(
                f"The data set {self.info.name} should fit into the memory of this machine, "
                f"{memory_bytes():,} bytes. Found {images:,} images of {size} x {size} pixels, {needed:,} "
                "bytes. Lower `stream.data.size`."
            )

    def _read(self, files: list[tuple[Path, int]]) -> tuple[Pixels, Labels]:
        pixels = np.empty((len(files), *self.info.shape), dtype=np.uint8)
        for row, (path, _) in enumerate(files):
            pixels[row] = read_image(path, self.chosen.size)
        return pixels, np.array([label for _, label in files], dtype=np.int64)


def _info(chosen: FoldersOptions) -> Info:
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", chosen.folder.rstrip("/").rpartition("/")[2])
    return Info(
        name=f"folders-{last[:40]}", shape=(3, chosen.size, chosen.size), classes=chosen.classes,
        train=None, test=None, seen=False,
        home="folders of your own", licence="that of the images", folders=(chosen.folder,),
    )  # fmt: skip


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as reason:  # a folder that may not be entered, a name that is too long
        raise DataError(f"{path}: should be a folder that can be looked into. Found: {reason}.") from reason


def _held(folder: Path) -> str:
    """What a folder holds that has none of the domains, for who has misspelt them."""
    try:
        names = sorted(each.name for each in folder.iterdir() if each.is_dir())
    except OSError:
        return ""
    return f" (which holds {', '.join(names[:12])})" if names else " (which holds no folders)"
