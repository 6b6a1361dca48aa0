"""A run folder: where everything lies, whose it is, and whether the run is new, unfinished or finished."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from mpidcl.errors import RunFolderError
from mpidcl.files import read_text
from mpidcl.record.atomic import make_folder, write_text
from mpidcl.record.journal import Journal
from mpidcl.record.lock import Lock
from mpidcl.record.records import AgentRecord
from mpidcl.record.results import write_results
from mpidcl.record.settings import aligned, differences, flat_settings
from mpidcl.record.summary import summarise, write_summary

EXPERIMENT = "experiment.toml"


class RunState(Enum):
    """How far a run folder has come."""

    NEW = "new"
    UNFINISHED = "unfinished"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths inside one run folder (design 12)."""

    path: Path

    @property
    def experiment_file(self) -> Path:
        """The resolved experiment."""
        return self.path / EXPERIMENT

    @property
    def environment_file(self) -> Path:
        """On what the run was started."""
        return self.path / "environment.json"

    def environment(self) -> dict[str, Any]:
        """What the environment file holds; empty when it is missing or damaged: no result depends on it."""
        try:
            return dict(json.loads(read_text(self.environment_file)))
        except (OSError, ValueError, TypeError):
            return {}

    @property
    def results_file(self) -> Path:
        """Accuracies, ledger and timing as HDF5."""
        return self.path / "results.h5"

    @property
    def summary_file(self) -> Path:
        """The last file a run writes: there is one if and only if the run is finished."""
        return self.path / "summary.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.path / "report"

    def journal(self, agent: int) -> Journal:
        """The file that agent's evaluations are appended to."""
        return Journal(self.path / "metrics" / f"agent-{agent:04d}.jsonl", agent)

    def state(self) -> RunState:
        """New (absent or empty), unfinished or finished. Raises RunFolderError when it is no run's folder."""
        if self.path.is_file():
            raise RunFolderError(
                f"`{self.path}` should be a folder for a run. Found a file. Choose another `--out`."
            )
        if not self.path.exists() or not any(self.path.iterdir()):
            return RunState.NEW
        if not self.experiment_file.is_file():
            raise RunFolderError(
                f"`{self.path}` should be empty or a run folder. Found files but no {EXPERIMENT}: they are "
                "somebody else's and stay untouched. Choose another folder with `--out`."
            )
        return RunState.FINISHED if self.summary_file.is_file() else RunState.UNFINISHED

    def finish(
        self, records: Sequence[AgentRecord], links: Sequence[tuple[int, int]], oracles: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Writes results.h5, then summary.json; gives the summary. By one process, with all records.

        `oracles`: the oracle information that exchanges used, named in the summary where there is any.
        """
        write_results(self.results_file, records, links)
        summary = summarise(records) | ({"oracles": list(oracles)} if oracles else {})
        write_summary(self.summary_file, summary)
        return summary


def locate(name: str, out: Path | None = None, *, again: bool = False) -> RunFolder:
    """The folder for an experiment: `out` or runs/NAME; with `again` the first free of NAME-2, NAME-3."""
    first = out or Path("runs") / name
    if not again or RunFolder(first).state() is RunState.NEW:
        return RunFolder(first)
    number = 2
    while (beside := first.with_name(f"{first.name}-{number}")).exists():
        number += 1
    return RunFolder(beside)


def open_folder(
    folder: RunFolder, experiment: str, environment: Mapping[str, Any], lock: Lock | None = None
) -> RunState:
    """Makes a new folder ready or checks that an old one is of this experiment; gives its state from before.

    `experiment` is the resolved TOML text. By one process, before the others use the folder; `lock` keeps
    other runs out of an unfinished one. Raises RunFolderError when the folder is no run's, a run's with other
    settings (all are listed), or in use.
    """
    state = folder.state()
    if lock and state is RunState.UNFINISHED:
        lock.take(folder.experiment_file)
    if state is RunState.NEW or (state is RunState.UNFINISHED and not _has_begun(folder)):
        if state is RunState.UNFINISHED:
            _settings_of(folder)  # a file that is no experiment of ours is not replaced
        # Nothing was learned there yet: the experiment was wrong and has been mended, say.
        _create(folder, experiment, environment)
        if lock:
            lock.take(folder.experiment_file)
        return RunState.NEW
    _check_same(folder, experiment)
    make_folder(folder.path / "metrics")
    make_folder(folder.checkpoints)
    return state


def _has_begun(folder: RunFolder) -> bool:
    journals = (folder.path / "metrics").glob("*.jsonl")
    saved = folder.checkpoints.glob("*/manifest.json")
    return any(saved) or any(journal.stat().st_size for journal in journals)


def _create(folder: RunFolder, experiment: str, environment: Mapping[str, Any]) -> None:
    # experiment.toml first: a folder with nothing but it is resumable, one without it would be refused.
    make_folder(folder.path)
    write_text(folder.experiment_file, experiment)
    make_folder(folder.path / "metrics")
    make_folder(folder.checkpoints)
    write_text(folder.environment_file, json.dumps(environment, indent=2, sort_keys=True) + "\n")


def _settings_of(folder: RunFolder) -> dict[str, Any]:
    try:
        return flat_settings(read_text(folder.experiment_file))
    except ValueError as error:
        raise RunFolderError(
            f"`{folder.experiment_file}` should be a TOML file. It cannot be read: {error}."
        ) from error


def _check_same(folder: RunFolder, experiment: str) -> None:
    there = _settings_of(folder)
    found = differences(there, flat_settings(experiment))
    if found:
        rows = [("key", "there", "here"), *((key, *pair) for key, pair in found.items())]
        raise RunFolderError(
            f"`{folder.path}` should be a run of this experiment. Found one with other settings:\n"
            f"{aligned(rows)}\n"
            "Take back the changes, choose another folder with `--out`, or start a run beside it: `--again`."
        )
