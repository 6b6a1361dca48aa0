"""One decoded copy of a data set per node: .npy files that all ranks memory-map and so share."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.errors import DataError
from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.base import Arrays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mpidcl.stream.datasets.base import DataSet

NAMES = tuple(field.name for field in fields(Arrays))
FORMAT = 1
"""Raised when decoded arrays change their meaning, so that old copies are not taken for new ones."""

log = logging.getLogger(__name__)


def load(dataset: DataSet) -> Arrays:
    """The arrays of a data set, decoded once per user and source file, then memory-mapped read-only.

    Safe when many ranks start at once: one decodes under a lock, the others wait and map the result.
    Raises DataError when the source files are missing or wrong.
    """
    folder = arrays_folder() / f"{dataset.info.name}-{FORMAT}-{dataset.fingerprint()}"
    mapped = _mapped(folder)
    if mapped is not None:
        return mapped
    arrays: Arrays | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder.with_name(f"{folder.name}.lock")):
            mapped = _mapped(folder)
            if mapped is None:
                arrays = decode(dataset)
                mapped = _store(folder, arrays)
            return mapped
    except OSError as reason:
        log.warning(
            "%s cannot keep the decoded %s (%s): each process holds its own copy. "
            "Set MPIDCL_CACHE to a folder that can be written.",
            folder.parent, dataset.info.name, reason,
        )  # fmt: skip
        return _read_only(arrays or decode(dataset))


def arrays_folder() -> Path:
    """Where decoded arrays are kept; may be deleted at any time when no run is going on."""
    return places.cache_folder() / "arrays"


def decode(dataset: DataSet) -> Arrays:
    """The arrays straight from the source files; says so when their number is not the official one."""
    info = dataset.info
    try:
        arrays = dataset.decode()
    except OSError as reason:
        raise DataError(f"The files of {info.name} should be readable. Found: {reason}") from reason
    for part, official, labels in (
        ("training", info.train, arrays.train_y),
        ("test", info.test, arrays.test_y),
    ):
        if official is not None and official != len(labels):
            log.warning("%s should have %d %s images. Found %d.", info.name, official, part, len(labels))
    return arrays


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with open(path, "a") as handle:
        # Some network file systems cannot lock. Then several ranks decode and the first rename wins.
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _store(folder: Path, arrays: Arrays) -> Arrays:
    scratch = tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent)
    try:
        for name in NAMES:
            np.save(os.path.join(scratch, f"{name}.npy"), getattr(arrays, name), allow_pickle=False)
        with contextlib.suppress(OSError):  # another rank was first: its copy is as good
            os.rename(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _open(folder)


def _mapped(folder: Path) -> Arrays | None:
    if not folder.is_dir():
        return None
    try:
        return _open(folder)
    except (OSError, ValueError) as reason:
        log.warning("The decoded copy %s is damaged (%s) and is made again.", folder, reason)
        shutil.rmtree(folder, ignore_errors=True)
        return None


@lru_cache(maxsize=64)
def _open(folder: Path) -> Arrays:
    # Kept for the life of the process: a map holds a file descriptor, and a process may have many agents.
    return Arrays(*(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in NAMES))


def _read_only(arrays: Arrays) -> Arrays:
    for name in NAMES:
        getattr(arrays, name).setflags(write=False)
    return arrays
