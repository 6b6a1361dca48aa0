"""JSON with a checksum of its own: whether a file still says what was written can be told from it alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpidcl.base.files import read_text
from mpidcl.record.atomic import write_text

CHECKSUM = "checksum"


def digest_of(content: object) -> str:
    """sha256 (hex) of anything that JSON holds; the order of keys and the layout do not count."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces the file at `path` by `content` and its checksum; sorted keys, no NaN."""
    whole = {**content, CHECKSUM: digest_of(content)}
    write_text(path, json.dumps(whole, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_sealed(path: Path, unsealed: bool = False) -> dict[str, Any]:
    """What `write_sealed` wrote. Raises ValueError that says why when it is not that, or OSError.

    `unsealed`: a file without any checksum, as older versions wrote it, will do as well.
    """
    try:
        content = json.loads(read_text(path))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(content, dict):
        raise ValueError("it is not a table")
    if CHECKSUM not in content:
        if unsealed:
            return content
        raise ValueError("it has no checksum; an older version of mpidcl wrote it")
    if content.pop(CHECKSUM) != digest_of(content):
        raise ValueError("its checksum is another one; it was changed after it was written")
    return content
