"""Small notes in the cache: JSON with a checksum, so that a damaged note is no note."""

from __future__ import annotations

import contextlib
import json
import zlib
from typing import TYPE_CHECKING, Any

from mpidcl_kernels.base.node_files import replace_file

if TYPE_CHECKING:
    from pathlib import Path


def write_note(path: Path, facts: dict[str, Any]) -> None:
    """Keep `facts` at `path`, whole or not at all. Raises OSError."""
    body = json.dumps(facts, sort_keys=True).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{zlib.crc32(body):08x}\n".encode() + body)


def read_note(path: Path) -> dict[str, Any] | None:
    """What `write_note` kept; None when nothing is there, or not what was written."""
    with contextlib.suppress(OSError):
        seal, _, body = path.read_bytes().partition(b"\n")
        if seal == f"{zlib.crc32(body):08x}".encode():
            facts: dict[str, Any] = json.loads(body)
            return facts
    return None
