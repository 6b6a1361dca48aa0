"""What the files of a data set hold, as hashes: computed once, and again when a file has changed.

The cache of decoded arrays goes by these hashes, never by names or times alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.sealed import Note, read_note, write_note
from mpidcl_kernels.base.node_files import one_at_a_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

SETTLED_NS = 2_000_000_000
"""A file that changed less than two seconds ago may change again within the same tick of the disk's clock:
its hash is not remembered."""

WAIT_AT_MOST = 300.0
"""Seconds that are waited for another process that computes the same hashes: 10 GB from a slow disk."""


@dataclass(frozen=True, slots=True)
class Hashes:
    """Of one file; md5 because some data sets are published with nothing else."""

    sha256: str
    md5: str

    def match(self, published: str | None) -> bool:
        """Is it the file with this hash, "sha256:..." or "md5:..."?"""
        return published in (f"sha256:{self.sha256}", f"md5:{self.md5}")


def hashes_of(paths: Sequence[Path]) -> tuple[Hashes, ...]:
    """The hashes of each file, remembered in the user's cache while no file changes. Raises OSError."""
    facts = _remembered(paths, "each", lambda: [asdict(_hashes(path)) for path in paths])
    return tuple(Hashes(**each) for each in facts)


def joint_hash_of(paths: Sequence[Path]) -> str:
    """One sha256 of many files, their order and names included; remembered like those of single ones.

    A name is the path below the folder that holds them all: a folder may say of which class its files are.
    """
    top = os.path.commonpath([path.parent for path in paths]) if paths else ""
    names = [os.path.relpath(path, top) for path in paths]
    return _remembered(paths, "joint", lambda: joined([*names, *(_hashes(p).sha256 for p in paths)]))


def joined(words: Sequence[str]) -> str:
    """sha256 over several words, none of which can pass for two."""
    text = b"".join(b"%d:%b" % (len(word), word) for word in map(os.fsencode, words))
    return hashlib.sha256(text).hexdigest()


_known: dict[Path, Note] = {}
"""Notes by path. The state of all files is in the name, so a note is right for the life of a process."""


def _remembered(paths: Sequence[Path], kind: str, compute: Callable[[], T]) -> T:
    """What `compute` says of the files, from the note that is named by their state."""
    if not paths:
        return compute()
    state = _state(paths)
    note = places.cache_folder() / "hashes" / f"{kind}-{state[:32]}.json"
    facts = _recall(note)
    if facts is None:
        try:
            note.parent.mkdir(parents=True, exist_ok=True)
            with one_at_a_time(note.with_suffix(".lock"), WAIT_AT_MOST, "reads the files itself"):
                facts = _recall(note) or _computed(paths, state, note, compute)
        except OSError:  # no cache: each process computes
            facts = _computed(paths, state, note, compute)
    found: T = facts["facts"]
    return found


def _recall(note: Path) -> Note | None:
    if note not in _known and (facts := read_note(note)) is not None:
        _known[note] = facts
    return _known.get(note)


def _computed(paths: Sequence[Path], state: str, note: Path, compute: Callable[[], object]) -> Note:
    facts = {"facts": compute()}
    if _settled(paths) and _state(paths) == state:
        _known[note] = facts
        with contextlib.suppress(OSError):
            write_note(note, facts)
    return facts


def _settled(paths: Sequence[Path]) -> bool:
    newest = max(max(stat.st_mtime_ns, stat.st_ctime_ns) for stat in map(os.stat, paths))
    return newest + SETTLED_NS < time.time_ns()


def _state(paths: Sequence[Path]) -> str:
    """Changes when a file does: the time of the last change (ctime) is the system's and nobody can set it."""
    words = []
    for path in paths:
        stat = path.stat()
        words += [
            os.path.abspath(path),
            f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}",
        ]
    return joined(words)


def _hashes(path: Path) -> Hashes:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as handle:
        while piece := handle.read(1 << 20):
            sha256.update(piece)
            md5.update(piece)
    return Hashes(sha256.hexdigest(), md5.hexdigest())
