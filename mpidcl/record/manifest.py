"""Which checkpoints of a run are complete: one manifest per cut, written last, by one process.

Cuts are numbered 1, 2, 3 ... over the whole run. Every process writes one file per cut with the states of
its agents, and the manifest says which file holds which agent: a run goes on with any number of processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

from mpidcl.base.state import State
from mpidcl.errors import CheckpointError
from mpidcl.record.checkpoint import (
    FORMAT,
    OLDER,
    OlderCheckpointError,
    check_format,
    read_parts,
    verify_file,
)
from mpidcl.record.sealed import read_sealed, write_sealed

MANIFEST = "manifest.json"
_File = dict[str, int | str]
"""`size` in bytes and `sha256` (hex) of a file."""
MARK = "cut"
"""Key under which every agent's state says whose it is, when it was taken, and in which run."""


def cut_folder(folder: Path, number: int) -> Path:
    """Where cut `number` is saved; `folder` is the run's checkpoints folder."""
    return folder / f"{number:06d}"


def state_file(folder: Path, number: int, rank: int) -> Path:
    """Where process `rank` saves its agents at cut `number`."""
    return cut_folder(folder, number) / f"rank-{rank:04d}.h5"


def agent_key(agent: int) -> str:
    """Where in its file the state of an agent is."""
    return f"agent-{agent:04d}"


def mark(agent: int, time: Fraction, run: str) -> State:
    """What a state says of itself: its agent, its exact time, and the digest of the run's identity."""
    return {"agent": agent, "time": list(time.as_integer_ratio()), "run": run}


def check_mark(path: Path, found: Mapping[str, Any], agent: int, time: Fraction, run: str) -> None:
    """Raises CheckpointError when the state in the file `path` is not that of this agent, time and run."""
    for name, value in mark(agent, time, run).items():
        if found.get(name) != value:
            raise CheckpointError(
                f"`{path}` should hold the state of agent {agent} at task {float(time):g} of this run. "
                f"Found one whose {name} is {found.get(name)}, not {value}."
            )


@dataclass(frozen=True, slots=True)
class Complete:
    """A complete checkpoint: the exact schedule time of its cut, and the digest of the run's identity.

    `files[agent]` is the name of the file that holds the agent.
    """

    number: int
    time: Fraction
    run: str
    files: tuple[str, ...]

    def to_tables(self) -> dict[str, Any]:
        """As JSON can hold it, and a manifest does."""
        time = list(self.time.as_integer_ratio())
        return {"cut": self.number, "time": time, "run": self.run, "agents": list(self.files)}

    @classmethod
    def from_tables(cls, found: Mapping[str, Any]) -> Complete:
        """What `to_tables` gave. Raises ValueError, KeyError, TypeError or ZeroDivisionError."""
        time = Fraction(*(int(part) for part in found["time"]))
        return cls(int(found["cut"]), time, str(found["run"]), tuple(str(name) for name in found["agents"]))

    def file(self, folder: Path, agent: int) -> Path:
        """Where an agent's state is; `folder` is the run's checkpoints folder."""
        return cut_folder(folder, self.number) / self.files[agent]

    def read(self, folder: Path, agents: Iterable[int], part: str = "") -> Iterator[tuple[int, Path, State]]:
        """These agents, the file of each, and its state there, or one part of the state."""
        for path, mine in groupby(agents, lambda agent: self.file(folder, agent)):
            numbers = list(mine)
            states = read_parts(path, [agent_key(agent) for agent in numbers], part)
            yield from ((agent, path, state) for agent, state in zip(numbers, states, strict=True))


class Manifests:
    """Collects the files of each cut and writes its manifest when all processes have saved. Rank 0 has it.

    `ranks[agent]` is the process that has the agent; `run` is the digest of the run's identity. `newest` is
    the last complete checkpoint: at first the one that the run goes on from, None: there is none.
    """

    def __init__(
        self, folder: Path, ranks: Sequence[int], keep: int, run: str, newest: Complete | None = None
    ) -> None:
        self._folder, self._ranks, self._keep, self._run = folder, ranks, keep, run
        self.newest = newest
        self._open: dict[int, tuple[Fraction, dict[int, _File]]] = {}

    def add(self, rank: int, number: int, time: Fraction, size: int, sha256: bytes) -> bool:
        """A file is on disk. The last one completes the cut (True), and old cuts are removed.

        Raises CheckpointError when processes disagree about the time of a cut, which would mix states.
        """
        known, files = self._open.setdefault(number, (time, {}))
        if known != time:
            raise CheckpointError(
                f"Cut {number} should be at one time for all. Found {known}, and {time} on rank {rank}."
            )
        files[rank] = {"size": size, "sha256": sha256.hex()}
        if files.keys() < set(self._ranks):
            return False
        del self._open[number]
        names = {rank: state_file(self._folder, number, rank).name for rank in files}
        self.newest = Complete(number, time, self._run, tuple(names[rank] for rank in self._ranks))
        folder = cut_folder(self._folder, number)
        content = {"format": FORMAT, "files": {names[rank]: file for rank, file in files.items()}}
        write_sealed(folder / MANIFEST, content | self.newest.to_tables())
        for left in set(folder.glob("rank-*.h5")) - {folder / name for name in names.values()}:
            with suppress(OSError):  # of more processes, before the run was stopped
                left.unlink()
        self._remove_old(number)
        return True

    def _remove_old(self, number: int) -> None:
        numbers = [n for n in _numbers(self._folder) if n <= number]
        complete = [n for n in numbers if (cut_folder(self._folder, n) / MANIFEST).is_file()]
        for old in numbers:
            # the manifest goes first, so that a half removed folder is never taken for a whole one
            if old < complete[-self._keep :][0]:
                with suppress(OSError):  # one that cannot be removed now is tried again at the next cut
                    (cut_folder(self._folder, old) / MANIFEST).unlink(missing_ok=True)
                    shutil.rmtree(cut_folder(self._folder, old))


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal())


def newest_complete(
    folder: Path, agents: int, warn: Callable[[str], None], run: str | None = None
) -> Complete | None:
    """The newest checkpoint of the run with the identity `run` (None: whichever) in which all agrees.

    That is: the manifest with its checksum, folder and `run`; the files with the manifest; every state with
    agent, time and run. A damaged one is named through `warn`, and the one before is used. None: there is no
    complete one. Raises CheckpointError when all complete ones are damaged, or of an older version.
    """
    damaged = []

    def note(line: str) -> None:
        damaged.append(line)
        warn(line)

    for found in all_complete(folder, agents, note, run):
        return found
    if damaged:
        raise CheckpointError(
            f"No undamaged checkpoint of this run is left in `{folder}`. Start a new run with `--again`."
        )
    return None


def all_complete(
    folder: Path, agents: int, warn: Callable[[str], None], run: str | None = None
) -> Iterator[Complete]:
    """All complete checkpoints, the newest first, each as whole as that of `newest_complete`."""
    for number in reversed(_numbers(folder)):
        path = cut_folder(folder, number) / MANIFEST
        if not path.is_file():
            continue
        try:
            found = _verified(path, number, agents, run)
        except OlderCheckpointError:
            raise
        except CheckpointError as error:
            warn(f"checkpoint {number:06d} is damaged and left out: {error}")
            continue
        yield found


def _verified(path: Path, number: int, agents: int, run: str | None) -> Complete:
    try:
        manifest = read_sealed(path)
        check_format(path, manifest.get("format", OLDER[0]))
        files = {str(name): (int(f["size"]), str(f["sha256"])) for name, f in manifest["files"].items()}
        if outside := [name for name in files if Path(name).name != name]:
            raise ValueError(f"{outside[0]!r} is not a file of its folder")
        found = Complete.from_tables(manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise CheckpointError(f"`{path}` should be a manifest. It cannot be used: {error}.") from error
    if found.number != number:
        raise CheckpointError(f"`{path}` should be that of cut {number}. Found that of cut {found.number}.")
    if run is not None and found.run != run:
        raise CheckpointError(
            f"`{path}` should be of the run with the identity {run}. Found {found.run}: that one was begun "
            "with another experiment, network, data or own methods."
        )
    if len(found.files) != agents or set(found.files) != files.keys():
        raise CheckpointError(
            f"`{path}` should say for each of {agents} agents which of its files holds it. "
            f"Found {len(found.files)} agents in {len(set(found.files))} of {len(files)} files."
        )
    for name, (size, sha256) in files.items():
        verify_file(path.with_name(name), size, sha256)
    for agent, file, state in found.read(path.parents[1], range(agents), MARK):
        check_mark(file, state, agent, found.time, found.run)
    return found
