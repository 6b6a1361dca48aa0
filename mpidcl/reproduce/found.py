"""The runs that are there, grouped by data set and row, and their numbers in published units."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpidcl.errors import MpidclError
from mpidcl.record.folder import RunFolder, RunState
from mpidcl.report.loaded import load_run
from mpidcl.reproduce.departures import departures, words
from mpidcl.reproduce.protocol import DATA_SETS, ROWS
from mpidcl.views.groups import Difference, Group
from mpidcl.views.mean_error import MeanError, Pair, paired_mean
from mpidcl.views.run import Run

UNIT = {"final_accuracy": 100.0, "learning_speed": 101.0, "learning_speed_current": 101.0}
"""What a metric of ours, a fraction, is multiplied by: percent, and the published area over 101 epochs."""


class Size(NamedTuple):
    """Agents, tasks and epochs per task of a run."""

    agents: int
    tasks: int
    epochs: int


@dataclass
class Found:
    """Finished runs by (data set, row).

    `notes`: what was found and could not be used. `departed`: data set -> in what its runs differ from the
    published protocol, in words; absent where they do not.
    """

    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    departed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._values = cache(self._values_of)

    @property
    def datasets(self) -> list[str]:
        """Data sets with a run, in the order of the protocol."""
        there = {dataset for dataset, _ in self.groups}
        return [name for name in (*DATA_SETS, "digits") if name in there]

    @property
    def rows(self) -> list[str]:
        """Rows with a run, in the order of the protocol."""
        there = {row for _, row in self.groups}
        return [row for row in ROWS if row in there]

    def has(self, dataset: str, *rows: str) -> bool:
        """Whether there are runs of all these rows."""
        return all((dataset, row) in self.groups for row in rows)

    def values(self, dataset: str, row: str, metric: str) -> dict[Pair, float]:
        """The metric in published units, by (seed, agent)."""
        return self._values(dataset, row, metric)

    def _values_of(self, dataset: str, row: str, metric: str) -> dict[Pair, float]:
        values = self.groups[dataset, row].values(metric)
        return {pair: UNIT[metric] * value for pair, value in values.items()}

    def ours(self, dataset: str, row: str, metric: str) -> MeanError | None:
        """Mean over agents and seeds in published units, and its standard error; None without a run."""
        if not self.has(dataset, row):
            return None
        return paired_mean(self.values(dataset, row, metric))

    def paired(self, dataset: str, row: str, base: str, metric: str) -> Difference | None:
        """Row minus base, for each (seed, agent) that both have; None where there is no pair."""
        if not self.has(dataset, row, base):
            return None
        mine, theirs = self.values(dataset, row, metric), self.values(dataset, base, metric)
        values = {pair: mine[pair] - theirs[pair] for pair in mine if pair in theirs}
        return Difference(row, values) if values else None

    def difference(self, dataset: str, row: str, base: str, metric: str) -> MeanError | None:
        """Mean of the paired differences, with its standard error over seeds; None where there is no pair."""
        found = self.paired(dataset, row, base, metric)
        return found.mean if found else None

    def sent(self, dataset: str, row: str, quantity: str = "wire_bytes") -> float:
        """`wire_bytes` or `paper_floats` sent by one agent in one run, on average."""
        return self.groups[dataset, row].per_agent(quantity)

    def training_floats(self, dataset: str, row: str) -> float:
        """Floats of all training rows of one agent, on average; 0 where nobody counted them."""
        records = [record for run in self.groups[dataset, row].runs for record in run.records]
        return float(np.mean([record.counters.get("training_floats", 0) for record in records]))

    def seeds(self, dataset: str, row: str) -> list[int]:
        """Seeds of the finished runs."""
        return sorted(run.seed for run in self.groups[dataset, row].runs)

    def size(self, dataset: str) -> Size:
        """The size that most runs of the data set have."""
        sizes = [_size(run) for key, group in self.groups.items() if key[0] == dataset for run in group.runs]
        return Counter(sizes).most_common(1)[0][0]

    def as_published(self, dataset: str) -> bool:
        """Whether all its runs have the published settings."""
        return dataset not in self.departed


def find(out: Path, examples: Path) -> Found:
    """All finished runs of the protocol under `out`. A folder that cannot be read becomes a note.

    `examples`: the folder of the example files, which say what was published.
    """
    found = Found()
    for dataset in (*DATA_SETS, "digits"):
        for row in ROWS:
            folders = sorted((out / "runs" / dataset / row).glob("seed-*"), key=_seed)
            runs = [run for one in folders if (run := finished_run(one, found.notes)) is not None]
            if runs:
                found.groups[dataset, row] = Group(row, tuple(runs))
        _note_sizes(found, dataset)
        _note_departures(found, dataset, examples)
    return found


def finished_run(folder: Path, notes: list[str]) -> Run | None:
    """The run in a folder; one that is not finished or cannot be read becomes a note, and None."""
    try:
        if RunFolder(folder).state() is RunState.FINISHED:
            return load_run(folder)
        notes.append(f"{folder}: not finished; the same command goes on with it")
    except MpidclError as error:
        notes.append(f"{folder}: {error}")
    return None


def _note_sizes(found: Found, dataset: str) -> None:
    if dataset not in found.datasets:
        return
    usual = found.size(dataset)
    for (name, row), group in found.groups.items():
        other = {_size(run) for run in group.runs} - {usual} if name == dataset else set()
        for size in sorted(other):
            notes = f"{dataset} {row}: {size.agents} agents, {size.tasks} tasks, {size.epochs} epochs"
            found.notes.append(f"{notes}: another size than the other runs, do not compare")


def _note_departures(found: Found, dataset: str, examples: Path) -> None:
    rows = [
        (row, run) for (name, row), group in found.groups.items() if name == dataset for run in group.runs
    ]
    if dataset not in DATA_SETS:
        if rows:
            found.departed[dataset] = "a data set that is not part of it"
        return
    departed = words(departures(run, dataset, row, examples) for row, run in rows)
    if departed:
        found.departed[dataset] = departed


def _size(run: Run) -> Size:
    epochs = int(run.settings["learning.epochs"])
    return Size(len(run.records), int(run.settings["stream.tasks"]), epochs)


def _seed(folder: Path) -> int:
    text = folder.name.removeprefix("seed-")
    return int(text) if text.isdecimal() else -1
