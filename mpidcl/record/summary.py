"""`summary.json`: the few numbers of a run that people compare. `views.summary` says what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpidcl.errors import RunFolderError
from mpidcl.record.sealed import read_sealed

FORMAT = "mpidcl summary 2"
"""Files without a format are of version 1."""
RESULTS = "results_sha256"
"""Key of the sha256 of results.h5, which holds times."""


def read_summary(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote. Raises RunFolderError, naming the file, when it is not that."""
    try:
        found = read_sealed(path, unsealed=True)
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"`{path}` should be the summary of a run. It cannot be read: {error}. "
            "The same `mpidcl run` command makes it again from the last checkpoint."
        ) from error
    if found.get("format", FORMAT) != FORMAT:
        raise RunFolderError(
            f"`{path}` should have the format '{FORMAT}'. Found {found['format']!r}: another"
            " version of mpidcl wrote it, and reads it."
        )
    missing = sorted({"agents", "digest", "metrics", "communication", "time"} - set(found))
    if missing:
        raise RunFolderError(
            f"`{path}` should hold the keys of a run's summary. Not found: {', '.join(missing)}."
        )
    return found
