"""A decoded copy on disk: four .npy files and a note with their checksums, in a folder of its own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import tempfile
import time
import zlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.stream.datasets.base import Arrays
from mpidcl.stream.datasets.sealed import Note, read_note, write_note
from mpidcl_kernels.base.node_files import sync, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

NAMES = tuple(field.name for field in fields(Arrays))
NOTE = "arrays.json"

BELIEVED_FOR = 600.0
"""Seconds for which a node takes a copy for right that one of its processes has checked, while no file of it
changes: the ranks of a job check it once, not each."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Arrays with their fingerprint."""

    arrays: Arrays
    fingerprint: str


class DamagedError(Exception):
    """What is found in the folder is not what was stored there."""


def fingerprint_of(arrays: Arrays) -> str:
    """sha256 over types, shapes and values of all four arrays."""
    whole = hashlib.sha256()
    for name in NAMES:
        array = np.ascontiguousarray(getattr(arrays, name))
        whole.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        whole.update(array.data)
    return whole.hexdigest()


def store(folder: Path, arrays: Arrays, fingerprint: str) -> None:
    """Keep a copy: written elsewhere, synced, then renamed. One that is there stays. Raises OSError."""
    scratch = tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent)
    try:
        _write(folder.with_name(os.path.basename(scratch)), arrays, fingerprint)
        with contextlib.suppress(OSError):  # another process was first: its copy is as good
            os.rename(scratch, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(scratch: Path, arrays: Arrays, fingerprint: str) -> None:
    checksums = {}
    for name in NAMES:
        path = scratch / f"{name}.npy"
        with open(path, "wb") as handle:
            np.save(handle, getattr(arrays, name), allow_pickle=False)
            handle.flush()
            sync(handle.fileno())
        checksums[name] = _checksum(path)
    write_note(scratch / NOTE, {"fingerprint": fingerprint, "crc32": checksums})


_open_here: dict[tuple[Path, str], Loaded] = {}
"""Kept for the life of the process: a map holds a file descriptor, and a process may have many agents."""


def open_checked(folder: Path) -> Loaded | None:
    """The copy, if a process of this node has checked it lately and it has not changed since."""
    try:
        state = _state(folder)
        if (folder, state) in _open_here:
            return _open_here[folder, state]
        stamp = read_note(_stamp(folder))
        lately = stamp is not None and 0 <= time.time() - stamp["time"] < BELIEVED_FOR
        return _open(folder, state) if stamp is not None and lately and stamp["state"] == state else None
    except (OSError, DamagedError):
        return None


def check(folder: Path) -> Loaded:
    """The copy, after every byte of it was compared with its checksum. Raises OSError, DamagedError."""
    state, checksums = _state(folder), _note(folder)["crc32"]
    for name in NAMES:
        if _checksum(folder / f"{name}.npy") != checksums[name]:
            raise DamagedError(f"{name}.npy should have the checksum that was written with it")
    loaded = _open(folder, state)
    with contextlib.suppress(OSError):  # a folder that only others may write: each process checks
        write_note(_stamp(folder), {"time": time.time(), "state": state})
    return loaded


def drop(folder: Path) -> None:
    """Away with a copy. Processes that have mapped it keep what they have."""
    shutil.rmtree(folder, ignore_errors=True)


def _note(folder: Path) -> Note:
    note = read_note(folder / NOTE)
    if note is None:
        raise DamagedError(f"{NOTE} should be as it was written")
    return note


def _open(folder: Path, state: str) -> Loaded:
    fingerprint = _note(folder)["fingerprint"]
    try:
        arrays = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in NAMES]
    except OSError:
        raise
    except Exception as reason:  # a header is parsed as Python's literals: many kinds of errors
        raise DamagedError(str(reason)) from reason
    return _open_here.setdefault((folder, state), Loaded(Arrays(*arrays), fingerprint))


def _stamp(folder: Path) -> Path:
    return folder / f"checked-on-{socket.gethostname()}.json"


def _state(folder: Path) -> str:
    """Changes when a file does; ctime is the system's own and cannot be set back."""
    stats = [os.stat(folder / name) for name in (NOTE, *(f"{name}.npy" for name in NAMES))]
    return " ".join(f"{s.st_ino} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}" for s in stats)


def _checksum(path: Path) -> int:
    value = 0
    with open(path, "rb") as handle:
        while piece := handle.read(1 << 20):
            value = zlib.crc32(piece, value)
    return value
