"""Checkpoints: every agent's state as HDF5, and a manifest that makes a set of them complete.

A state is a nested dict; its leaves are arrays, int, float, bool, str, None or flat lists of those. Groups
hold dicts, data sets hold arrays, and one JSON text per group holds the plain values. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mpidcl.errors import CheckpointError
from mpidcl.record.atomic import make_folder, write_bytes
from mpidcl.record.hdf5 import DAMAGE, open_hdf5

FORMAT = "mpidcl state 2"
OLDER = (b"mpidcl state 1",)
"""Formats of versions before this one, which it cannot go on with."""
_PLAIN = "(plain values)"


class OlderCheckpointError(CheckpointError):
    """A checkpoint is whole, but an older version has written it."""


def write_state(path: Path, state: Mapping[str, Any]) -> tuple[int, bytes]:
    """Write a state (temporary name, fsync, rename); its size in bytes and sha256."""
    return begin_write(path, state)()


def begin_write(path: Path, state: Mapping[str, Any]) -> Callable[[], tuple[int, bytes]]:
    """Take a picture of a state in memory; the returned call puts it on the disk for good and under its name.

    The call may be made by another thread: waiting for a disk takes far longer than the picture, and an
    agent can learn meanwhile. It returns the size in bytes and the sha256.
    Raises CheckpointError for a state with something in it that a file of plain data cannot hold.
    """
    image = io.BytesIO()
    with open_hdf5(image, "w") as file:
        file.attrs["format"] = np.bytes_(FORMAT)
        _write_group(file, state)

    def finish() -> tuple[int, bytes]:
        data = image.getbuffer()
        make_folder(path.parent)
        write_bytes(path, data)
        return data.nbytes, hashlib.sha256(data).digest()

    return finish


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote. Raises CheckpointError that names a file which is damaged or another one."""
    return read_part(path, "/")


def read_part(path: Path, key: str) -> dict[str, Any]:
    """The nested dict at one key of the state, without reading the rest; errors as of `read_state`."""
    try:
        with open_hdf5(path, "r") as file:
            found = file.attrs.get("format")
            if found in OLDER:
                raise OlderCheckpointError(
                    f"`{path}` should have the format '{FORMAT}'. Found '{found.decode()}': an older"
                    " version of mpidcl has begun the run. Finish it with that one, or start a new run with"
                    " `--again`."
                )
            if found != FORMAT.encode():
                raise CheckpointError(f"`{path}` should have the format '{FORMAT}'. Found {found!r}.")
            return _read_group(file[key])
    except DAMAGE as error:
        raise CheckpointError(
            f"`{path}` should be an agent's checkpoint. It cannot be read: {error}."
        ) from error


def _write_group(group: h5py.Group, state: Mapping[str, Any]) -> None:
    plain = {}
    for key, value in state.items():
        if not isinstance(key, str) or key in ("", ".", _PLAIN) or set(key) & {"/", "\0"}:
            raise CheckpointError(f"A key of a state should be a text without '/'. Found {key!r}.")
        if isinstance(value, Mapping):
            _write_group(group.create_group(key), value)
        elif isinstance(value, np.ndarray):
            if value.dtype.kind not in "biufc":
                _refuse(value)
            group.create_dataset(key, data=value, track_times=False)
        else:
            plain[key] = value.item() if isinstance(value, np.generic) else value
    text = json.dumps(plain, default=_refuse).encode()
    group.create_dataset(_PLAIN, data=np.frombuffer(text, np.uint8), track_times=False)


def _refuse(value: object) -> object:
    kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value)
    raise CheckpointError(
        f"A state should hold arrays of numbers, numbers, texts and lists of those. Found {kind}."
    )


def _read_group(group: h5py.Group) -> dict[str, Any]:
    state: dict[str, Any] = dict(json.loads(group[_PLAIN][()].tobytes()))
    for key, item in group.items():
        if key != _PLAIN:
            state[key] = _read_group(item) if isinstance(item, h5py.Group) else item[...]
    return state


def wait_for(path: Path, seconds: float = 60.0) -> Path:
    """`path`, once it can be seen: network file systems show a file of another node late.

    Raises CheckpointError when it does not appear within `seconds`.
    """
    began = time.monotonic()
    while not path.is_file():
        if time.monotonic() - began > seconds:
            raise CheckpointError(
                f"`{path}` should be there, its agent has written it. Not seen for {seconds:g} s."
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
