"""Checkpoints: states of agents as HDF5, one file for all agents of a process.

A state is a nested dict; its leaves are arrays, int, float, bool, str, None or flat lists of those. Groups
hold dicts, data sets hold arrays, and one JSON text per group holds the plain values. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import h5py
import numpy as np

from mpidcl.base.state import OwnState, State
from mpidcl.errors import CheckpointError
from mpidcl.record.atomic import make_folder, write_bytes
from mpidcl.record.hdf5 import DAMAGE, open_hdf5

FORMAT = "mpidcl state 2"
OLDER = ("mpidcl state 1",)
"""Formats of versions before this one, which it cannot go on with."""
_PLAIN = "(plain values)"


class OlderCheckpointError(CheckpointError):
    """A checkpoint is whole, but an older version has written it."""


def write_state(path: Path, state: Mapping[str, Any]) -> tuple[int, bytes]:
    """Write one state as a file (temporary name, fsync, rename); its size in bytes and sha256."""
    image = Image()
    image.add("/", state)
    return image.write(path)


class Image:
    """A file of several states that is made in memory, one after the other, and written at the end.

    Whoever adds a state may change it at once. The write may be left to another thread: waiting for a disk
    takes far longer than the picture, and agents can learn meanwhile.
    """

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._file = open_hdf5(self._bytes, "w")
        self._file.attrs["format"] = np.bytes_(FORMAT)

    def add(self, key: str, state: Mapping[str, Any]) -> None:
        """Take a picture of a state, which is found again under `key`.

        Raises CheckpointError for a state with something in it that a file of plain data cannot hold.
        """
        place = _Place(state.owner) if isinstance(state, OwnState) else _Place()
        write_group(self._file.require_group(key), state, place)

    def close(self) -> None:
        """No state will be added."""
        self._file.close()

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


def read_parts(path: Path, keys: Iterable[str]) -> list[State]:
    """The nested dict at each of these keys, without reading the rest; errors as of `read_state`."""
    try:
        with open_hdf5(path, "r") as file:
            found = file.attrs.get("format")
            check_format(path, found.decode() if isinstance(found, bytes) else found)
            return [read_group(file[key]) for key in keys]
    except DAMAGE as error:
        raise CheckpointError(f"`{path}` should be a file of states. It cannot be read: {error}.") from error


def check_format(path: Path, found: object) -> None:
    """Raises CheckpointError when the file or manifest at `path` is not of this format."""
    if found == FORMAT:
        return
    said = f"`{path}` should have the format '{FORMAT}'. Found {found!r}"
    if found in OLDER:
        raise OlderCheckpointError(
            f"{said}: an older version of mpidcl has begun the run. Finish it with that one, or start a new"
            " run with `--again`."
        )
    raise CheckpointError(f"{said}.")


class _Place(NamedTuple):
    """Where in a state: whose it is, and the keys from there on."""

    owner: str = ""
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.owner}.state()" if self.owner else "A state"

    def under(self, key: str, value: object) -> _Place:
        """The place of a value, which may be the state of another part."""
        return _Place(value.owner) if isinstance(value, OwnState) else _Place(self.owner, (*self.keys, key))


def write_group(group: h5py.Group, state: Mapping[str, Any], place: _Place | None = None) -> None:
    """Put a state into a group of an open file. Raises CheckpointError for what no file can hold."""
    place = place or _Place()
    plain = {}
    for key, value in state.items():
        if not isinstance(key, str) or key in ("", ".", _PLAIN) or set(key) & {"/", "\0"}:
            raise CheckpointError(f"{place} should have keys that are texts without '/'. Found {key!r}.")
        if isinstance(value, Mapping):
            write_group(group.create_group(key), value, place.under(key, value))
        elif isinstance(value, np.ndarray):
            if value.dtype.kind not in "biufc":
                _refuse(place.under(key, value), f"an array of {value.dtype}")
            group.create_dataset(key, data=value, track_times=False)
        else:
            plain[key] = value.item() if isinstance(value, np.generic) else value
    group.create_dataset(_PLAIN, data=np.frombuffer(_text(plain, place), np.uint8), track_times=False)


def _text(plain: Mapping[str, Any], place: _Place) -> bytes:
    try:
        return json.dumps(plain).encode()
    except (TypeError, ValueError):
        for key, value in plain.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                _refuse(place.under(key, value), f"{type(value).__name__} ({error})")
        raise


def _refuse(place: _Place, found: str) -> NoReturn:
    raise CheckpointError(
        f"{place} should hold arrays of numbers, numbers, texts, None, lists of those, and dicts. Found"
        f" {found} under the key `{'/'.join(place.keys)}`. Save what it is made of as one of these: a tensor"
        " as `.numpy(force=True)`, say."
    )


def read_group(group: h5py.Group) -> State:
    """What `write_group` wrote. Raises one of `DAMAGE` for anything else."""
    state: State = dict(json.loads(group[_PLAIN][()].tobytes()))
    for key, item in group.items():
        if key != _PLAIN:
            state[key] = read_group(item) if isinstance(item, h5py.Group) else item[...]
    return state


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
