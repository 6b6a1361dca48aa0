"""The files of a shared replay buffer: one for each agent, in HDF5, and a manifest that completes them.

Rows are written and read in pieces: a buffer may fill most of the memory of its machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from mpidcl.base.state import State
from mpidcl.errors import CheckpointError, MpidclError, ReplayError
from mpidcl.memory.replay.settings import Settings
from mpidcl.memory.replay.share import Indices, Share
from mpidcl.memory.replay.shared import SharedReplay
from mpidcl.network.requests import Asking, Gather
from mpidcl.record.atomic import make_folder, remove_parts, replacing
from mpidcl.record.checkpoint import (
    DAMAGE,
    file_sha256,
    open_hdf5,
    verify_file,
)
from mpidcl.record.groups import read_group, write_group
from mpidcl.record.sealed import read_sealed, write_sealed
from mpidcl_kernels.base.types import View

FORMAT = "mpidcl replay 1"
MANIFEST = "replay.json"
PIECE_BYTES = 2**26


class File(NamedTuple):
    """One file of a manifest."""

    name: str
    size: int
    sha256: str


class Manifest(NamedTuple):
    """What a folder holds: at which step it was saved, by how many agents, with which settings."""

    step: int
    files: tuple[File, ...]
    settings: dict[str, str]


# --- saving -----------------------------------------------------------------------------------------


def save(replay: SharedReplay, folder: Path) -> Asking[None]:
    """Write all shares to `folder`, so that it always holds one complete buffer. Every agent calls it.

    Raises ReplayError, on all agents, when one of them could not write.
    """
    yield from replay.settle()
    when, mine = f"saving after step {replay.step}", None
    try:
        mine, error = _write(replay, folder), ""
    except MpidclError as failed:
        error = _why(folder, failed)
    told = yield from tell(replay, when, {"file": mine, "error": error})
    raise_first(told)
    files = tuple(File(*one["file"]) for one in told)
    if replay.agent == 0:
        try:
            _check_there(folder, files)
            _complete(folder, Manifest(replay.step, files, replay.settings.texts()))
        except MpidclError as failed:
            error = _why(folder, failed)
    raise_first((yield from tell(replay, when, {"error": error})))


def _why(folder: Path, failed: MpidclError) -> str:
    """What the system said of files, without the words for a run and its options."""
    cause = failed.__cause__
    if not isinstance(cause, OSError):
        return str(failed)
    return (
        f"`{folder}` cannot be written: {cause.strerror or cause}. What was saved there before is as it was."
    )


def _check_there(folder: Path, files: Sequence[File]) -> None:
    """Raises ReplayError for a rank that has written somewhere else, before anything is removed."""
    for rank, file in enumerate(files):
        try:
            found = (folder / file.name).stat().st_size
        except OSError:
            found = -1
        if found != file.size:
            raise ReplayError(
                f"`{folder}` should be one folder that all ranks see: they save to it together. Found no file"
                f" of rank {rank} in it."
            )


def _write(replay: SharedReplay, folder: Path) -> File:
    share = replay.share
    make_folder(folder)
    names = (folder / f"step-{replay.step:09d}-rank-{replay.agent:04d}-{n}.h5" for n in count())
    path = next(name for name in names if not name.exists())  # what is complete there is not touched
    with replacing(path) as temporary:
        with open_hdf5(temporary, "w") as file:
            file.attrs["format"] = np.bytes_(FORMAT)
            write_group(file.create_group("replay"), replay.state_without_rows())
            write_group(file.create_group("share"), share.state_without_rows())
            _write_rows(file.create_group("rows"), share)
        size, sha256 = temporary.stat().st_size, file_sha256(temporary)
    return File(path.name, size, sha256)


def _write_rows(group: h5py.Group, share: Share) -> None:
    used = share.used()
    for name in share.storage.type.names or ():
        column = share.storage[name]
        stored = group.create_dataset(name, (len(share), *column.shape[1:]), column.dtype, track_times=False)
        for part in pieces(len(share), share.storage.type.itemsize):
            stored[part] = column[part] if isinstance(used, slice) else column[used[part]]


def pieces(rows: int, row_bytes: int) -> Iterator[slice]:
    """Parts of so many rows that together are no large piece of memory."""
    step = max(1, PIECE_BYTES // row_bytes)
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))


def _complete(folder: Path, manifest: Manifest) -> None:
    content = {
        "format": FORMAT,
        "step": manifest.step,
        "files": [file._asdict() for file in manifest.files],
        "settings": manifest.settings,
    }
    write_sealed(folder / MANIFEST, content)
    kept = {file.name for file in manifest.files}
    for path in folder.glob("step-*-rank-*.h5"):
        if path.name not in kept:
            path.unlink(missing_ok=True)
    remove_parts(folder)


# --- reading ----------------------------------------------------------------------------------------


def read_manifest(folder: Path, settings: Settings) -> Manifest:
    """Raises ReplayError for a folder that holds no complete buffer, or one of other settings."""
    path = folder / MANIFEST
    try:
        found = read_sealed(path)
        if found["format"] != FORMAT:
            raise ValueError(f"it has the format {found['format']!r}")
        files = tuple(File(one["name"], int(one["size"]), one["sha256"]) for one in found["files"])
        manifest = Manifest(int(found["step"]), files, dict(found["settings"]))
    except FileNotFoundError:
        raise ReplayError(
            f"`{folder}` should hold a saved replay buffer. Found no {MANIFEST} in it."
        ) from None
    except (*DAMAGE, OSError) as error:
        raise ReplayError(
            f"`{path}` should say what was saved ({FORMAT}). It cannot be used: {error}."
        ) from None
    if (differs := settings.differs(manifest.settings)) is not None:
        name, mine, there = differs
        raise ReplayError(
            f"`{folder}` should hold a replay buffer with the same {name}: {mine}. Found {there}."
        )
    return manifest


class Part:
    """An open file of one share, to be read in pieces. Raises ReplayError that names it."""

    def __init__(self, folder: Path, file: File, settings: Settings) -> None:
        self.path = folder / file.name
        try:
            self._file = open_hdf5(self.path, "r")
            self.share: State = read_group(self._file["share"])
            self.rows = len(self._file["rows"]["sequence"])
        except DAMAGE as error:
            raise self._broken(error) from None
        self._check(settings)

    def _check(self, settings: Settings) -> None:
        for column in settings.columns:
            stored = self._file["rows"].get(column.name)
            if (
                stored is None
                or stored.shape != (self.rows, *column.shape)
                or stored.dtype != np.dtype(column.dtype)
            ):
                raise self._broken(f"its column `{column.name}` is not as declared")

    def _broken(self, why: object) -> ReplayError:
        return ReplayError(f"`{self.path}` should be a share of a replay buffer. It cannot be used: {why}.")

    def replay(self) -> State:
        """What `SharedReplay.state_without_rows` gave."""
        return read_group(self._file["replay"])

    def column(self, name: str) -> View:
        """The whole of a column."""
        values: View = self._file["rows"][name][...]
        return values

    def copy(self, rows: Indices, slots: Indices, share: Share) -> None:
        """Put rows [n] of the file, in growing order, into slots [n]."""
        for part in pieces(self.rows, share.storage.type.itemsize):
            first, last = np.searchsorted(rows, [part.start, part.stop])
            if first == last:
                continue
            for name in share.storage.type.names or ():
                stored = self._file["rows"][name][part]
                share.storage[name][slots[first:last]] = stored[rows[first:last] - part.start]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def verify(folder: Path, files: Iterable[File]) -> None:
    """Raises ReplayError for the first file that is missing, truncated or changed."""
    for file in files:
        try:
            verify_file(folder / file.name, file.size, file.sha256)
        except (CheckpointError, OSError) as error:
            raise ReplayError(f"A part of the replay buffer cannot be used. {error}") from None


# --- words that all agents hear ---------------------------------------------------------------------


def tell(replay: SharedReplay, when: str, words: Mapping[str, Any]) -> Asking[list[dict[str, Any]]]:
    """What every agent says, in order of agent; it must be plain data."""
    if replay.agents == 1:
        return [dict(words)]
    text = np.frombuffer(json.dumps(words).encode(), np.uint8)
    told = yield Gather(when, replay.next_number(), text)
    return [json.loads(one.tobytes()) for one in told]


def raise_first(told: Iterable[Mapping[str, Any]]) -> None:
    """Raises ReplayError with the first error that an agent has told."""
    for agent, words in enumerate(told):
        if words["error"]:
            raise ReplayError(f"rank {agent}: {words['error']}")
