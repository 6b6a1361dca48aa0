"""Checkpoints: states of agents as HDF5, one file for all agents of a process.

A state is a nested dict; its leaves are arrays, int, float, bool, str, None or flat lists of those. Each has
a group of its own: `packing` says what is in it, `groups` what was in it in format 2. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import h5py
import numpy as np

from mpidcl.base.state import State
from mpidcl.errors import CheckpointError
from mpidcl.record.atomic import make_folder, write_bytes
from mpidcl.record.groups import read_group
from mpidcl.record.packing import read_packed, write_packed

FORMAT = "mpidcl state 3"
IN_GROUPS = "mpidcl state 2"
"""The format before, which is read: every dict was a group, every array a data set."""
OLDER = ("mpidcl state 1",)
"""Formats of versions before that, which this one cannot go on with."""
DAMAGE = (OSError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What h5py, JSON and NumPy raise for a file that was damaged or that another program wrote."""


def open_hdf5(file: Path | IO[bytes], mode: Literal["r", "w"]) -> h5py.File:
    """The file for reading, or a new one, without HDF5's own locks, which not every file system has.

    Nothing needs them: a file is written under a temporary name and never changed after it was renamed, and
    one run at a time works in a folder (`record.lock`).
    """
    return h5py.File(file, mode, locking=False, track_order=False)


class OlderCheckpointError(CheckpointError):
    """A checkpoint is whole, but an older version has written it."""


def write_state(path: Path, state: Mapping[str, Any]) -> tuple[int, bytes]:
    """Write one state as a file (temporary name, fsync, rename); its size in bytes and sha256."""
    image = Image()
    image.add("/", state)
    return image.write(path)


class Image:
    """A file of HDF5 that is made in memory, of several states, say, and written at the end.

    Whoever adds a state may change it at once. The write may be left to another thread: waiting for a disk
    takes far longer than the picture, and agents can learn meanwhile. HDF5 that meets a full disk itself
    raises what is no OSError, when its file is closed, or crashes.
    """

    def __init__(self, format: str = FORMAT) -> None:
        self._bytes = io.BytesIO()
        self.file = open_hdf5(self._bytes, "w")
        self.file.attrs["format"] = np.bytes_(format)

    def add(self, key: str, state: Mapping[str, Any]) -> None:
        """Take a picture of a state, which is found again under `key`.

        Raises CheckpointError for a state with something in it that a file of plain data cannot hold.
        """
        write_packed(self.file.require_group(key), state)

    def close(self) -> None:
        """No state will be added."""
        self.file.close()

    def write(self, path: Path) -> tuple[int, bytes]:
        """Put the file on the disk for good and under its name; its size in bytes and sha256."""
        self.close()
        data = self._bytes.getbuffer()
        make_folder(path.parent)
        write_bytes(path, data)
        return data.nbytes, hashlib.sha256(data).digest()


def read_state(path: Path) -> State:
    """What `write_state` wrote. Raises CheckpointError that names a file which is damaged or another one."""
    return read_parts(path, ["/"])[0]


def read_parts(path: Path, keys: Iterable[str], part: str = "") -> list[State]:
    """The states at these keys, or one part of each, without the arrays of the rest.

    Errors as of `read_state`; they name the key, too.
    """
    try:
        with open_hdf5(path, "r") as file:
            found = file.attrs.get("format")
            found = found.decode() if isinstance(found, bytes) else found
            check_format(path, found)
            return [_read(file, key, part, found == IN_GROUPS) for key in keys]
    except DAMAGE as error:
        raise CheckpointError(f"`{path}` should be a file of states. It cannot be read: {error}.") from error


def _read(file: h5py.File, key: str, part: str, in_groups: bool) -> State:
    try:
        return read_group(file[f"{key}/{part}"]) if in_groups else read_packed(file[key], part)
    except DAMAGE as error:
        raise ValueError(f"`{key}`: {error}") from error


def check_format(path: Path, found: object) -> None:
    """Raises CheckpointError when the file or manifest at `path` is not of this format."""
    said = f"`{path}` should have the format '{FORMAT}'. Found {found!r}"
    if found in OLDER:
        raise OlderCheckpointError(
            f"{said}: an older version of mpidcl has begun the run. Finish it with that one, or start a new"
            " run with `--again`."
        )
    if found not in (FORMAT, IN_GROUPS):
        raise CheckpointError(f"{said}.")


def wait_for(path: Path, seconds: float = 60.0) -> Path:
    """`path`, once it can be seen: network file systems show a file of another node late.

    Raises CheckpointError when it does not appear within `seconds`.
    """
    began = time.monotonic()
    while not path.is_file():
        if time.monotonic() - began > seconds:
            raise CheckpointError(
                f"`{path}` should be there, its process has written it. Not seen for {seconds:g} s."
            )
        time.sleep(0.1)
    return path


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_file(path: Path, size: int, sha256: str) -> None:
    """Raises CheckpointError that names the file when it is missing, too short or changed."""
    if not path.is_file():
        raise CheckpointError(f"`{path}` is missing.")
    found = path.stat().st_size
    if found != size:
        raise CheckpointError(f"`{path}` should have {size} bytes. Found {found}.")
    if file_sha256(path) != sha256:
        raise CheckpointError(
            f"`{path}` should have the sha256 {sha256[:12]}... of its manifest. It was changed."
        )
