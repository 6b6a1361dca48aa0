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
from typing import IO, Any, Literal

import h5py
import numpy as np

from mpidcl.base.state import OwnState, State
from mpidcl.errors import CheckpointError
from mpidcl.record.atomic import make_folder, write_bytes

FORMAT = "mpidcl state 2"
OLDER = ("mpidcl state 1",)
"""Formats of versions before this one, which it cannot go on with."""
_PLAIN = "(plain values)"
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
        write_group(self.file.require_group(key), state, "", ())

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
    said = f"`{path}` should have the format '{FORMAT}'. Found {found!r}"
    if found in OLDER:
        raise OlderCheckpointError(
            f"{said}: an older version of mpidcl has begun the run. Finish it with that one, or start a new"
            " run with `--again`."
        )
    if found != FORMAT:
        raise CheckpointError(f"{said}.")


def write_group(
    group: h5py.Group, state: Mapping[str, Any], owner: str = "", above: tuple[str, ...] = ()
) -> None:
    """Add a state to a file. `owner` and the keys from its state on down to this one: for messages.

    Raises CheckpointError for what a file of plain data cannot hold.
    """
    if isinstance(state, OwnState):
        owner, above = state.owner, ()
    said = f"{owner}.state()" if owner else "A state"
    plain = []
    for key, value in state.items():
        if not isinstance(key, str) or key in ("", ".", _PLAIN) or set(key) & {"/", "\0"}:
            raise CheckpointError(f"{said} should have keys that are texts without '/'. Found {key!r}.")
        if isinstance(value, Mapping):
            write_group(group.create_group(key), value, owner, (*above, key))
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            group.create_dataset(key, data=value, track_times=False)
        else:
            try:
                plain.append(f"{json.dumps(key)}: {_json(value)}")
            except (TypeError, ValueError) as error:
                raise CheckpointError(
                    f"{said} should hold arrays of numbers, numbers, texts, None, lists of those, and dicts."
                    f" Found {error} under the key `{'/'.join((*above, key))}`. Save what it is made of as"
                    " one of these: a tensor as `.numpy(force=True)`, say."
                ) from None
    text = f"{{{', '.join(plain)}}}".encode()
    group.create_dataset(_PLAIN, data=np.frombuffer(text, np.uint8), track_times=False)


def _json(value: object) -> str:
    """Raises ValueError that says what the value is."""
    if isinstance(value, np.ndarray):
        raise ValueError(f"an array of {value.dtype}")
    plain = value.item() if isinstance(value, np.generic) else value
    try:
        return json.dumps(plain)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{type(plain).__name__} ({error})") from None


def read_group(group: h5py.Group) -> State:
    """What `write_group` wrote. Raises one of DAMAGE for something else."""
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
