"""`mpidcl data list` and `mpidcl data verify`: what is known, what is here, is it the real thing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mpidcl.errors import DataError
from mpidcl.printable import printable
from mpidcl.stream.datasets.cache import read
from mpidcl.stream.datasets.catalogue import make, names
from mpidcl.stream.datasets.origin import examine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpidcl.stream.datasets.base import DataSet, Info, Labels
    from mpidcl.stream.datasets.origin import Examined


@dataclass(frozen=True, slots=True)
class Listing:
    """One line of `mpidcl data list`: the info under the name by which the data set is known here.

    `place` is "embedded", "not here", the folders of its files, or what a combined data set is made of.
    """

    info: Info
    place: str


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of `verify`: `ok` is False when what was found is not what should be."""

    what: str
    ok: bool
    found: str


def listing() -> list[Listing]:
    """Every data set known by a short name, where its files are, and whether they are the published ones.

    Files are read for their hashes, once until they change.
    """
    return [_listing(name) for name in names()]


def _listing(name: str) -> Listing:
    dataset = make(name)
    infos = [part.info for part in dataset.parts()]
    train, test = (sum(getattr(info, part) or 0 for info in infos) for part in ("train", "test"))
    return Listing(replace(dataset.info, name=name, train=train, test=test), _place(dataset))


def _place(dataset: DataSet) -> str:
    parts = dataset.parts()
    try:
        if not all(part.present() for part in parts):
            return "not here"
        embedded = all(form.place() is None for form in dataset.present())
    except DataError as reason:
        return f"WRONG: {printable(str(reason))}"
    if parts != (dataset,):
        return "made of " + ", ".join(part.info.name for part in parts)
    if embedded:
        return "embedded"
    return ", ".join(_folder(form, dataset) for form in dataset.present())


def _folder(form: DataSet, dataset: DataSet) -> str:
    folder = printable(str(form.place()))
    notes = [] if form is dataset else [form.info.name]
    try:
        files = examine(form)
    except DataError as reason:
        return f"{folder} (WRONG: {reason})"
    others = sorted({each.other[0] for each in files if each.other})
    if others:
        notes.append(f"WRONG: files of {', '.join(others)}")
    elif any(each.published is False for each in files):
        notes.append("own version")
    return f"{folder} ({', '.join(notes)})" if notes else folder


def verify(name: str, options: Mapping[str, object] | None = None) -> list[Check]:
    """Check the files of a data set: published hashes where there are any, structure, official counts.

    Without `options` every split that is here is checked. Raises DataError when files are missing; wrong
    files become findings with `ok` False.
    """
    parts = make(name, options, "the data set").parts()
    forms = [form for part in parts for form in (options is None and part.present()) or (part,)]
    return [check for form in forms for check in _verify_one(form)]


def _verify_one(dataset: DataSet) -> list[Check]:
    return [_file(each) for each in examine(dataset)] + _contents(dataset)


def _file(each: Examined) -> Check:
    what, file = printable(str(each.path)), each.file
    expected = file.hash if each.path.name == file.name else file.unpacked
    if each.other is not None:
        return Check(what, False, f"should be {file.name}, is {each.other[1]} of {each.other[0]}")
    if expected is None:
        return Check(what, True, "no published hash: its structure is checked instead")
    algorithm, _, value = expected.partition(":")
    if each.published:
        return Check(what, True, f"published {algorithm}")
    return Check(what, False, f"should have {algorithm} {value}, has {getattr(each.hashes, algorithm)}")


def _contents(dataset: DataSet) -> list[Check]:
    info = dataset.info
    try:
        arrays = read(dataset)
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
