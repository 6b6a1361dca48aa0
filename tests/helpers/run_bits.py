"""What two runs of one experiment must have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py


def bits(folder: Path) -> dict[str, Any]:
    """Everything that a run promises to be the same: all results but times, and all journals."""
    found: dict[str, Any] = {}
    with h5py.File(folder / "results.h5") as file:

        def keep(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and not name.startswith("timing") and not name.endswith("_s"):
                found[name] = item[()].tobytes()

        file.visititems(keep)
    for journal in sorted((folder / "metrics").iterdir()):
        found[journal.name] = journal.read_bytes()
    summary = json.loads((folder / "summary.json").read_text())
    found["digest"], found["flops"] = summary["digest"], summary["flops"]
    return found
