"""Small notes in the cache: JSON with a checksum, so that a damaged note is no note."""

from __future__ import annotations

import contextlib
import json
import zlib
from typing import TYPE_CHECKING, Any

from mpidcl_kernels.base.node_files import replace_file

if TYPE_CHECKING:
    from pathlib import Path

Note = dict[str, Any]
"""Plain values by name. Whoever reads a note knows what it has written: a checksum says that it is that."""


def write_note(path: Path, facts: Note) -> None:
    """Keep `facts` at `path`, whole or not at all. Raises OSError."""
    body = json.dumps(facts, sort_keys=True).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{zlib.crc32(body):08x}\n".encode() + body)


def read_note(path: Path) -> Note | None:
    """What `write_note` kept; None when nothing is there, or not what was written."""
    with contextlib.suppress(OSError):
        seal, _, body = path.read_bytes().partition(b"\n")
        if seal == f"{zlib.crc32(body):08x}".encode():
            facts: Note = json.loads(body)
            return facts
    return None
