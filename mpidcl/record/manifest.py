"""Which checkpoints of a run are complete: one manifest per cut, written last, by one process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mpidcl.errors import CheckpointError
from mpidcl.record.atomic import write_text
from mpidcl.record.checkpoint import verify_file

MANIFEST = "manifest.json"
PER_TASK = 1000
"""Cuts are numbered in thousandths of a task."""


def cut_number(time: Fraction) -> int:
    """Number of the cut at a schedule time: its name on disk."""
    return int(time * PER_TASK)


def agent_file(folder: Path, number: int, agent: int) -> Path:
    """Where agent number `agent` saves at cut `number`; `folder` is the run's checkpoints folder."""
    return folder / f"{number:06d}" / f"agent-{agent:04d}.h5"


@dataclass(frozen=True, slots=True)
class Complete:
    """A complete checkpoint: the schedule time of its cut, as numerator and denominator."""

    number: int
    time: Fraction


class Manifests:
    """Collects the parts of each cut and writes its manifest when all agents have saved. Rank 0 has it."""

    def __init__(self, folder: Path, agents: int, keep: int) -> None:
        self._folder, self._agents, self._keep = folder, agents, keep
        self._parts: dict[int, dict[str, dict[str, Any]]] = {}
        self.times: dict[int, Fraction] = {}

    def add(self, number: int, agent: int, size: int, sha256: bytes) -> None:
        """One agent's part is on disk. The last one completes the cut, and old cuts are removed."""
        parts = self._parts.setdefault(number, {})
        parts[agent_file(self._folder, number, agent).name] = {"size": size, "sha256": sha256.hex()}
        if len(parts) == self._agents:
            self._complete(number, self._parts.pop(number))

    def _complete(self, number: int, parts: dict[str, dict[str, Any]]) -> None:
        time = self.times.get(number, Fraction(number, PER_TASK))
        manifest = {"time": [time.numerator, time.denominator], "files": dict(sorted(parts.items()))}
        write_text(self._folder / f"{number:06d}" / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        numbers = [n for n in _numbers(self._folder) if n <= number]
        complete = [n for n in numbers if (self._folder / f"{n:06d}" / MANIFEST).is_file()]
        for old in numbers:
            # the manifest goes first, so that a half removed folder is never taken for a whole one
            if old < complete[-self._keep :][0]:
                with suppress(OSError):  # one that cannot be removed now is tried again at the next cut
                    (self._folder / f"{old:06d}" / MANIFEST).unlink(missing_ok=True)
                    shutil.rmtree(self._folder / f"{old:06d}")


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal())


def newest_complete(folder: Path, agents: int, warn: Callable[[str], None]) -> Complete | None:
    """The newest checkpoint whose files all agree with their manifest.

    A damaged one is named through `warn` and the one before is used. None: there is no complete one.
    Raises CheckpointError when there are complete ones but all are damaged.
    """
    damaged = 0
    for number in reversed(_numbers(folder)):
        path = folder / f"{number:06d}" / MANIFEST
        if not path.is_file():
            continue
        try:
            return Complete(number, _verify(path, agents))
        except CheckpointError as error:
            damaged += 1
            warn(f"checkpoint {number:06d} is damaged and left out: {error}")
    if damaged:
        raise CheckpointError(
            f"No undamaged checkpoint is left in `{folder}`. Start a new run with `--again`."
        )
    return None


def _verify(path: Path, agents: int) -> Fraction:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        time = Fraction(*(int(part) for part in manifest["time"]))
        files = {str(name): (int(f["size"]), str(f["sha256"])) for name, f in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise CheckpointError(f"`{path}` should be a manifest. It cannot be read: {error!r}.") from error
    wanted = {f"agent-{agent:04d}.h5" for agent in range(agents)}
    if set(files) != wanted:
        raise CheckpointError(f"`{path}` should list the files of {agents} agents. Found {len(files)} files.")
    for name, (size, sha256) in files.items():
        verify_file(path.parent / name, size, sha256)
    return time
