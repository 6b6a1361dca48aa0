"""A run folder: where everything lies, whose it is, and whether the run is new, unfinished or finished."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from enum import Enum
from fnmatch import fnmatch
from itertools import count
from pathlib import Path
from typing import Any

from mpidcl.base.files import read_text
from mpidcl.base.notices import warn
from mpidcl.errors import RunFolderError
from mpidcl.record.atomic import PARTS, make_folder, write_text, writing
from mpidcl.record.checkpoint import file_sha256
from mpidcl.record.identity import IDENTITY, Identity, changes, read_identity, write_identity
from mpidcl.record.journal import Journal
from mpidcl.record.lock import LOCK, FolderInUseError, Lock
from mpidcl.record.records import AgentRecord
from mpidcl.record.results import Results, read_results, write_results
from mpidcl.record.sealed import read_sealed, write_sealed
from mpidcl.record.settings import aligned, deciding, differences, flat_settings

EXPERIMENT = "experiment.toml"
SUMMARY_FORMAT = "mpidcl summary 2"
"""Of `summary.json`, which `views.summary` makes; files without a format are of version 1."""
RESULTS = "results_sha256"
"""Key of the sha256 of results.h5, which holds times."""
UNBEGUN = (LOCK, IDENTITY, PARTS)
"""What a start that was killed early may leave in a folder; such a folder is still new."""


class RunState(Enum):
    """How far a run folder has come."""

    NEW = "new"
    UNFINISHED = "unfinished"
    FINISHED = "finished"


class RunFolder:
    """The paths inside one run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.experiment_file = path / EXPERIMENT
        """The resolved experiment."""
        self.environment_file = path / "environment.json"
        """On what the run was started."""
        self.results_file = path / "results.h5"
        """Accuracies, ledger and timing as HDF5."""
        self.summary_file = path / "summary.json"
        """The last file a run writes: there is one if and only if the run is finished."""
        self.checkpoints = path / "checkpoints"
        self.journals = path / "metrics"
        self.report = path / "report"

    def journal(self, agent: int) -> Journal:
        """The file that agent's evaluations are appended to."""
        return Journal(self.journals / f"agent-{agent:04d}.jsonl", agent)

    def environment(self) -> dict[str, Any]:
        """What the environment file holds; empty when it is missing or damaged: no result depends on it."""
        with suppress(OSError, ValueError, TypeError):
            return dict(json.loads(read_text(self.environment_file)))
        return {}

    def settings(self) -> dict[str, Any]:
        """Those of the experiment, flat. Raises RunFolderError where the file is no TOML or not there."""
        try:
            return flat_settings(read_text(self.experiment_file))
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"`{self.experiment_file}` should be a TOML file. It cannot be read: {error}."
            ) from error

    def state(self) -> RunState:
        """New (absent or empty), unfinished or finished. Raises RunFolderError when it is no run's folder."""
        try:
            if self.path.is_file():
                raise RunFolderError(
                    f"`{self.path}` should be a folder for a run. Found a file. Choose another `--out`."
                )
            found = {file.name for file in self.path.iterdir()} if self.path.exists() else set()
            if all(any(fnmatch(name, known) for known in UNBEGUN) for name in found):
                return RunState.NEW
            # A user's folder may well hold an experiment.toml, the user's own.
            older = {"environment.json", "metrics", "checkpoints"} <= found
            begun = older or self.marked or "summary.json" in found
            if not (begun if EXPERIMENT in found else read_identity(self.path) is not None):
                missing = "nothing that a run leaves there" if EXPERIMENT in found else f"no {EXPERIMENT}"
                raise RunFolderError(
                    f"`{self.path}` should be empty or a run folder. Found files but {missing}: they are "
                    "somebody else's and stay untouched. Choose another folder with `--out`."
                )
            return RunState.FINISHED if self.summary_file.is_file() else RunState.UNFINISHED
        except OSError as error:
            raise RunFolderError(
                f"`{self.path}` should be a folder for a run. It cannot be looked at: {error.strerror}. "
                "Choose another with `--out`."
            ) from error

    @property
    def marked(self) -> bool:
        """Whether a run has taken the folder. Only such a folder is ever written to."""
        return (self.path / LOCK).is_file() or (self.path / IDENTITY).is_file()

    def finish(
        self,
        records: Sequence[AgentRecord],
        links: Sequence[tuple[int, int]],
        summary: Mapping[str, Any],
    ) -> None:
        """Writes results.h5, then summary.json, by one process, with all records."""
        sha256 = write_results(self.results_file, records, links)
        write_sealed(self.summary_file, {**summary, RESULTS: sha256})

    def outcome(self) -> tuple[Results, dict[str, Any]]:
        """Results and summary of a finished run. Raises RunFolderError that names a file that is damaged."""
        summary = read_summary(self.summary_file)
        wanted = summary.pop(RESULTS, None)  # none in a run of an older version
        with suppress(OSError):  # a file that is not there is said below
            if wanted is not None and file_sha256(self.results_file) != wanted:
                raise RunFolderError(
                    f"`{self.results_file}` should be the file that the run has written. It was changed or "
                    "cut since then. The same `mpidcl run` command makes it again from the last checkpoint."
                )
        return read_results(self.results_file), summary


def read_summary(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote. Raises RunFolderError, naming the file, when it is not that."""
    try:
        found = read_sealed(path, unsealed=True)
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"`{path}` should be the summary of a run. It cannot be read: {error}. "
            "The same `mpidcl run` command makes it again from the last checkpoint."
        ) from error
    if found.get("format", SUMMARY_FORMAT) != SUMMARY_FORMAT:
        raise RunFolderError(
            f"`{path}` should have the format '{SUMMARY_FORMAT}'. Found {found['format']!r}: another"
            " version of mpidcl wrote it, and reads it."
        )
    missing = sorted({"agents", "digest", "metrics", "communication", "time"} - set(found))
    if missing:
        raise RunFolderError(
            f"`{path}` should hold the keys of a run's summary. Not found: {', '.join(missing)}."
        )
    return found


def locate(name: str, out: Path | None = None) -> RunFolder:
    """The folder for an experiment: `out` or runs/NAME."""
    return RunFolder(out or Path("runs") / name)


def open_beside(
    first: RunFolder,
    experiment: str,
    environment: Mapping[str, Any],
    lock: Lock,
    identity: Identity | None = None,
) -> RunFolder:
    """Makes a new folder ready as `open_folder` does: `first`, or the first free of NAME-2, NAME-3 beside it.

    Of several processes that ask at once each gets a folder of its own.
    """
    candidates = _candidates(first)
    while True:
        folder = next(candidates)
        with suppress(FolderInUseError):
            if open_folder(folder, experiment, environment, lock, identity) is RunState.NEW:
                return folder
            lock.close()


def _candidates(first: RunFolder) -> Iterator[RunFolder]:
    if first.state() is RunState.NEW:
        yield first
    path = first.path if first.path.name not in ("", "..") else Path(os.path.abspath(first.path))
    make_folder(path.parent)
    for number in count(2):
        beside = path.with_name(f"{path.name}-{number}")
        with writing(beside):
            try:
                beside.mkdir()  # by one process alone
            except FileExistsError:
                continue
        yield RunFolder(beside)


def open_folder(
    folder: RunFolder,
    experiment: str,
    environment: Mapping[str, Any],
    lock: Lock | None = None,
    identity: Identity | None = None,
) -> RunState:
    """Takes a folder and makes it ready, or checks that an old one is of this run; its state from before.

    `experiment`: the resolved TOML text. By one process, before the others use the folder. `lock` then keeps
    other runs out, unless the run is finished; without one they are kept out during the call. Raises
    RunFolderError when the folder is no run's, in use, or a run's with other settings or identity.
    """
    if (state := folder.state()) is RunState.FINISHED:
        _check_same(folder, experiment, identity)
        return state
    if state is RunState.UNFINISHED and not folder.marked:
        raise RunFolderError(
            f"`{folder.path}` should be a run of this version of mpidcl. Found an unfinished one of an older "
            "version, which this one cannot go on with. Choose another folder with `--out`, or add `--again`."
        )
    make_folder(folder.path)
    with ExitStack() as stack:
        held = lock or stack.enter_context(closing(Lock()))
        held.take(folder.path)
        state = folder.state()  # as it is now that nobody else can change it
        saved = any(folder.checkpoints.glob("*/manifest.json"))
        learned = saved or any(one.stat().st_size for one in folder.journals.glob("*.jsonl"))
        if learned or state is RunState.FINISHED:
            _check_same(folder, experiment, identity, saved)
        else:
            # The experiment was wrong and has been mended, say. One that says the same keeps its comments.
            state = RunState.NEW
            there = folder.settings() if folder.experiment_file.is_file() else None
            if there != flat_settings(experiment):
                write_text(folder.experiment_file, experiment)
            written = json.dumps(environment, indent=2, sort_keys=True)
            write_text(folder.environment_file, written + "\n")
        if identity is not None and not saved:
            write_identity(folder.path, identity)  # of a run that starts, or starts again with what is there
        make_folder(folder.journals)
        make_folder(folder.checkpoints)
        return state


def _check_same(folder: RunFolder, experiment: str, identity: Identity | None, saved: bool = True) -> None:
    """Raises RunFolderError that lists other settings, and with `saved` what else is not as it was.

    The experiment is written again where its file is damaged and the run was begun with this one.
    """
    begun, here = read_identity(folder.path), deciding(flat_settings(experiment))
    mine = identity is not None and begun is not None and begun.experiment == identity.experiment
    try:
        there = deciding(folder.settings())
    except RunFolderError:
        if not mine:
            raise
        there = {}
    if (found := differences(there, here)) and mine:
        write_text(folder.experiment_file, experiment)
        warn(f"{folder.experiment_file} was damaged: it is written again")
    elif found:
        rows = [("key", "there", "here"), *((key, *pair) for key, pair in found.items())]
        raise RunFolderError(
            f"`{folder.path}` should be a run of this experiment. Found one with other settings:\n"
            f"{aligned(rows)}\n"
            "Take back the changes, choose another folder with `--out`, or start a run beside it: `--again`."
        )
    if identity is None or begun is None:
        return
    if begun.experiment != identity.experiment:
        raise RunFolderError(
            f"`{folder.experiment_file}` should be what the run was begun with. It was changed since, and "
            "is what was asked for here. Run the experiment file that the run was begun with, which puts it "
            "back; or choose another folder with `--out`, or start a run beside it: `--again`. Another"
            " version of mpidcl may find it changed, too: go on with the one that has begun it."
        )
    if saved and (changed := changes(begun, identity)):
        lines = "\n".join(f"  {line}" for line in changed)
        raise RunFolderError(
            f"`{folder.path}` should go on with what it was begun with. Found changes outside of the "
            f"experiment file:\n{lines}\n"
            "Put back what was there, choose another folder with `--out`, or start a run beside it: "
            f"`--again`. `mpidcl report {folder.path}` shows what the run has come to."
        )
