"""What the files of a data set hold, as hashes: computed once, and again when a file has changed.

The cache of decoded arrays goes by these hashes, never by names or times alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.sealed import read_note, write_note
from mpidcl_kernels.node_files import one_at_a_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    if not paths:
        return ()
    state = _state(paths)
    note = places.cache_folder() / "hashes" / f"{state[:32]}.json"
    known = _remembered(note)
    if known is not None:
        return known
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(note.with_suffix(".lock"), WAIT_AT_MOST, "reads the files itself"):
            return _remembered(note) or _computed(paths, note)
    except OSError:  # no cache: each process computes them
        return tuple(_hashes(path) for path in paths)


def joined(words: Sequence[str]) -> str:
    """sha256 over several words, none of which can pass for two."""
    text = b"".join(b"%d:%b" % (len(word), word) for word in map(os.fsencode, words))
    return hashlib.sha256(text).hexdigest()


def _computed(paths: Sequence[Path], note: Path) -> tuple[Hashes, ...]:
    state = _state(paths)
    hashes = tuple(_hashes(path) for path in paths)
    newest = max(max(path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths)
    if newest + SETTLED_NS < time.time_ns() and _state(paths) == state:
        with contextlib.suppress(OSError):
            write_note(note, {"files": [asdict(each) for each in hashes]})
    return hashes


_known: dict[Path, tuple[Hashes, ...]] = {}


def _remembered(note: Path) -> tuple[Hashes, ...] | None:
    # The state of all files is in the name of a note, so what it says is right for the life of a process.
    if note not in _known:
        facts = read_note(note)
        if facts is None:
            return None
        _known[note] = tuple(Hashes(**each) for each in facts["files"])
    return _known[note]


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
