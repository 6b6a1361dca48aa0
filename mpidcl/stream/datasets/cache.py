"""One decoded copy of a data set per node: .npy files that all ranks memory-map and so share."""

from __future__ import annotations

import inspect
import logging
from functools import cache as memoised
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from mpidcl.experiment.own_files import follow
from mpidcl.stream.datasets import copies, places
from mpidcl.stream.datasets.base import Arrays, DataSet
from mpidcl.stream.datasets.contents import hashes_of, joined, joint_hash_of
from mpidcl.stream.datasets.copies import NAMES, DamagedError, Loaded
from mpidcl.stream.datasets.origin import refuse_others
from mpidcl.stream.datasets.places import unreadable
from mpidcl.stream.datasets.soundness import sound
from mpidcl_kernels.base.node_files import one_at_a_time

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = 2
"""Raised when decoded arrays change their meaning, so that old copies are not taken for new ones."""

WAIT_AT_MOST = 600.0
"""Seconds that are waited for another process that decodes: Tiny-ImageNet may take minutes on a slow disk."""

log = logging.getLogger(__name__)


def load(dataset: DataSet) -> Loaded:
    """The arrays of a data set, decoded once per node and content of its files, then memory-mapped read-only.

    Safe when many ranks start at once: one decodes under a lock, the others wait and map the result.
    Raises DataError when the source files are missing, wrong, or those of another data set.
    """
    refuse_others(dataset)
    source = source_key(dataset)
    return _load_made(dataset) if source is None else _shared(dataset, source, None)


def arrays_folder() -> Path:
    """Where decoded arrays are kept; may be deleted at any time when no run is going on."""
    return places.cache_folder() / "arrays"


def source_key(dataset: DataSet) -> str | None:
    """Names everything that `decode` reads: hashes of files, options, and the code itself.

    None where that cannot be known: for a data set that names neither files, a folder, nor a package.
    """
    info, sources = dataset.info, dataset.sources()
    code = _code(type(dataset))
    if not (sources or info.package or dataset.place()) or code is None:
        return None
    try:
        hashes = [each.sha256 for each in hashes_of(sources)]
        hashes.append(_hash_of_the_rest(dataset, sources))
    except OSError as reason:
        raise unreadable(info, reason) from reason
    package = [info.package, version(info.package)] if info.package else []
    return joined([str(FORMAT), info.name, dataset.options.model_dump_json(), code, *package, *hashes])


_rest: dict[tuple[type[DataSet], str, Path | None, tuple[Path, ...]], str] = {}


def _hash_of_the_rest(dataset: DataSet, sources: Sequence[Path]) -> str:
    """Of files that may be very many: looked at once per process, not once for each of its agents."""
    key = type(dataset), dataset.options.model_dump_json(), dataset.place(), tuple(sources)
    if key not in _rest:
        _rest[key] = joint_hash_of([*dataset.also_read()])
    return _rest[key]


def decode(dataset: DataSet) -> Arrays:
    """The arrays straight from the source files; says so when their number is not the official one.

    Raises DataError when they are not what the data set says of itself.
    """
    info = dataset.info
    arrays = read(dataset)
    for part, official, labels in (
        ("training", info.train, arrays.train_y),
        ("test", info.test, arrays.test_y),
    ):
        if official is not None and official != len(labels):
            log.warning("%s should have %d %s images. Found %d.", info.name, official, part, len(labels))
    return arrays


def read(dataset: DataSet) -> Arrays:
    """The arrays straight from the source files, checked. Raises DataError."""
    try:
        return sound(dataset.info, dataset.decode())
    except OSError as reason:
        raise unreadable(dataset.info, reason) from reason


_made: dict[tuple[type[DataSet], str], Loaded] = {}


def _load_made(dataset: DataSet) -> Loaded:
    """A data set without files: decoded once by each process, which shares the copy of the same content."""
    key = type(dataset), dataset.options.model_dump_json()
    if key not in _made:
        arrays = decode(dataset)
        _made[key] = _shared(dataset, copies.fingerprint_of(arrays), arrays)
    return _made[key]


_kept: dict[Path, Loaded] = {}
"""What this process has decoded for itself, for all of its agents and for the fingerprint; by the folder
where the copy that it could not share would lie."""


def _shared(dataset: DataSet, key: str, arrays: Arrays | None) -> Loaded:
    folder = arrays_folder() / f"{dataset.info.name}-{key[:32]}"
    if folder in _kept:
        return _kept[folder]
    try:
        return copies.open_checked(folder) or _map_or_store(folder, dataset, arrays)
    except OSError as reason:
        _say_not_kept(dataset, reason)
        return _keep(folder, _in_memory(dataset, arrays))


def _map_or_store(folder: Path, dataset: DataSet, arrays: Arrays | None) -> Loaded:
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f"{folder.name}.lock")
    with one_at_a_time(lock, WAIT_AT_MOST, f"decodes {dataset.info.name} for itself") as held:
        loaded = copies.open_checked(folder) or _checked(folder)
        if loaded is not None:
            return loaded
        made = _in_memory(dataset, arrays)
        if not held:
            return _keep(folder, made)
        try:
            copies.store(folder, made.arrays, made.fingerprint)
            return copies.check(folder)
        except (OSError, DamagedError) as reason:
            _say_not_kept(dataset, reason)
            return _keep(folder, made)


def _keep(folder: Path, made: Loaded) -> Loaded:
    _kept[folder] = made
    return made


def _checked(folder: Path) -> Loaded | None:
    if not folder.exists():
        return None
    try:
        return copies.check(folder)
    except (OSError, DamagedError) as reason:
        log.warning("The decoded copy %s is damaged (%s) and is made again.", folder, reason)
        copies.drop(folder)
        return None


def _in_memory(dataset: DataSet, arrays: Arrays | None) -> Loaded:
    arrays = arrays or decode(dataset)
    for name in NAMES:
        getattr(arrays, name).setflags(write=False)
    return Loaded(arrays, copies.fingerprint_of(arrays))


def _say_not_kept(dataset: DataSet, reason: Exception) -> None:
    log.warning(
        "%s cannot keep the decoded %s (%s): each process holds its own copy. "
        "Set MPIDCL_CACHE to a folder that can be written.",
        arrays_folder(), dataset.info.name, reason,
    )  # fmt: skip


@memoised
def _code(kind: type[DataSet]) -> str | None:
    """Changes with the modules of a data set's classes, and with what a user's own import from beside them.

    None where there is no file to look at.
    """
    files: dict[str, Path] = {}
    try:
        for each in (each for each in kind.__mro__ if each not in DataSet.__mro__):
            follow(each.__module__, Path(inspect.getfile(each)), files)
        return joined([file.read_text("utf-8", "surrogateescape") for _, file in sorted(files.items())])
    except (OSError, TypeError):
        return None
