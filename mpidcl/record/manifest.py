"""Which checkpoints of a run are complete: one manifest per cut, written last, by one process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mpidcl.errors import CheckpointError
from mpidcl.record.checkpoint import OlderCheckpointError, read_part, verify_file
from mpidcl.record.sealed import read_sealed, write_sealed

MANIFEST = "manifest.json"
PER_TASK = 1000
"""Cuts are numbered in thousandths of a task."""
MARK = "cut"
"""Key under which every agent's state says whose it is, when it was taken, and in which run."""


def cut_number(time: Fraction) -> int:
    """Number of the cut at a schedule time: its name on disk."""
    return int(time * PER_TASK)


def agent_file(folder: Path, number: int, agent: int) -> Path:
    """Where agent number `agent` saves at cut `number`; `folder` is the run's checkpoints folder."""
    return folder / f"{number:06d}" / f"agent-{agent:04d}.h5"


def mark(agent: int, time: Fraction, run: str) -> dict[str, Any]:
    """What a state says of itself: its agent, its exact time, and the digest of the run's identity."""
    return {"agent": agent, "time": list(time.as_integer_ratio()), "run": run}


def check_mark(path: Path, found: Mapping[str, Any], agent: int, time: Fraction, run: str) -> None:
    """Raises CheckpointError when the state in the file `path` is not that of this agent, time and run."""
    wanted = mark(agent, time, run)
    for name, value in wanted.items():
        if found.get(name) != value:
            raise CheckpointError(
                f"`{path}` should be the state of agent {agent} at task {float(time):g} of this run. "
                f"Found one whose {name} is {found.get(name)}, not {value}."
            )


@dataclass(frozen=True, slots=True)
class Complete:
    """A complete checkpoint: the exact schedule time of its cut, and the digest of the run's identity."""

    number: int
    time: Fraction
    run: str


class Manifests:
    """Collects the parts of each cut and writes its manifest when all agents have saved. Rank 0 has it.

    `run` is the digest of the run's identity.
    """

    def __init__(self, folder: Path, agents: int, keep: int, run: str) -> None:
        self._folder, self._agents, self._keep, self._run = folder, agents, keep, run
        # by exact time: two cuts within a thousandth of a task share a folder, and the later one stays
        self._parts: dict[Fraction, dict[str, dict[str, Any]]] = {}

    def add(self, time: Fraction, agent: int, size: int, sha256: bytes) -> bool:
        """One agent's part is on disk. The last one completes the cut (True), and old cuts are removed."""
        parts = self._parts.setdefault(time, {})
        parts[agent_file(self._folder, 0, agent).name] = {"size": size, "sha256": sha256.hex()}
        if len(parts) < self._agents:
            return False
        self._complete(time, self._parts.pop(time))
        return True

    def _complete(self, time: Fraction, parts: dict[str, dict[str, Any]]) -> None:
        number = cut_number(time)
        content = {"time": list(time.as_integer_ratio()), "run": self._run, "files": parts}
        write_sealed(self._folder / f"{number:06d}" / MANIFEST, content)
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


def newest_complete(
    folder: Path, agents: int, warn: Callable[[str], None], run: str | None = None
) -> Complete | None:
    """The newest checkpoint of the run with the identity `run` (None: whichever) in which all agrees.

    That is: the manifest with its own checksum, with the number of its folder and with `run`; the files with
    the manifest; and every state in them with agent, time and run. A damaged one is named through `warn`
    and the one before is used. None: there is no complete one.
    Raises CheckpointError when there are complete ones but all are damaged, or of an older version.
    """
    damaged = 0
    for number in reversed(_numbers(folder)):
        path = folder / f"{number:06d}" / MANIFEST
        if not path.is_file():
            continue
        try:
            return _verified(path, number, agents, run)
        except OlderCheckpointError:
            raise
        except CheckpointError as error:
            damaged += 1
            warn(f"checkpoint {number:06d} is damaged and left out: {error}")
    if damaged:
        raise CheckpointError(
            f"No undamaged checkpoint of this run is left in `{folder}`. Start a new run with `--again`."
        )
    return None


def _verified(path: Path, number: int, agents: int, run: str | None) -> Complete:
    try:
        manifest = read_sealed(path)
        found = Complete(number, Fraction(*(int(part) for part in manifest["time"])), str(manifest["run"]))
        files = {str(name): (int(f["size"]), str(f["sha256"])) for name, f in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise CheckpointError(f"`{path}` should be a manifest. It cannot be used: {error}.") from error
    if cut_number(found.time) != number:
        raise CheckpointError(
            f"`{path}` should be that of cut {number:06d}. Found the time {found.time}, "
            f"which is cut {cut_number(found.time):06d}."
        )
    if run is not None and found.run != run:
        raise CheckpointError(
            f"`{path}` should be of the run with the identity {run}. Found {found.run}: that one was begun "
            "with another experiment, network, data or own methods."
        )
    if set(files) != {agent_file(path, 0, agent).name for agent in range(agents)}:
        raise CheckpointError(f"`{path}` should list the files of {agents} agents. Found {len(files)} files.")
    for agent in range(agents):
        file = path.with_name(agent_file(path, 0, agent).name)
        verify_file(file, *files[file.name])
        check_mark(file, read_part(file, MARK), agent, found.time, found.run)
    return found
