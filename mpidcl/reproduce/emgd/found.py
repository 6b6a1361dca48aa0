"""The runs that are there, and their numbers: in percent, forgetting with the sign of the publications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpidcl.experiment.reading import load
from mpidcl.record.records import AgentRecord, one_per_model
from mpidcl.record.settings import ABSENT, differences, flat_settings
from mpidcl.reproduce.emgd.methods import METHODS
from mpidcl.reproduce.emgd.plan import run_folder
from mpidcl.reproduce.emgd.streams import (
    MODES,
    PUBLISHED,
    STREAMS,
    Cell,
    Group,
    Place,
    data_sets,
    stream_sets,
)
from mpidcl.reproduce.found import finished_run
from mpidcl.views.mean_error import MeanError, mean_error
from mpidcl.views.parallel.balance import decided_alone, memorised, with_memory
from mpidcl.views.parallel.conflict import descent, pairs
from mpidcl.views.parallel.metrics import first_log
from mpidcl.views.run import Run

METRICS = (
    "first_accuracy", "final_accuracy", "forgetting",
    "first_accuracy_all_classes", "final_accuracy_all_classes", "forgetting_all_classes",
)  # fmt: skip
"""In percent. Forgetting is final - first accuracy here: negative where something was forgotten."""
STEPS = ("conflict", "ascent", "alone", "memorised", "length", "edited")
"""Over the steps: percent of pairs of gradients with a negative cosine; percent of steps that increase some
loss to first order, and of those in which one gradient takes nearly all of the weight; percent of the steps
with memory and new tasks in which the memory is memorised; median length of the direction in these; mean
distance (L2) by which a row of the memory was edited, 0: not."""
NOT_THE_STREAM = ("name", "seed", "agents", "learning.device", "learning.threads")


@dataclass
class Found:
    """Outcomes of finished runs: cell -> place -> name of a METRICS or STEPS -> value.

    `notes`: what could not be used. `departed`: data set -> settings (of the runs, of the example files) that
    differ; in the example files are the published ones, where they are known.
    """

    outcomes: dict[Cell, dict[Place, dict[str, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    departed: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)

    def groups(self) -> Iterator[tuple[Group, list[str]]]:
        """Groups with runs, each with its methods, in the order of the protocol; published memory first."""
        for dataset, mode in product(STREAMS, MODES):
            for memory in self.memories(dataset, mode):
                group = Group(dataset, mode, memory)
                yield group, [name for name in METHODS if group.cell(name) in self.outcomes]

    def memories(self, dataset: str, mode: str) -> list[int]:
        """Numbers of remembered rows per class that were run, that of the example file first."""
        here = {cell.memory for cell in self.outcomes if (cell.dataset, cell.mode) == (dataset, mode)}
        return sorted(here, key=lambda memory: (memory != STREAMS[dataset].memory, memory))

    def values(self, cell: Cell, metric: str) -> dict[Place, float]:
        """The metric of every run of a cell; empty where there is none."""
        return {place: one[metric] for place, one in self.outcomes.get(cell, {}).items()}

    def mean(self, cell: Cell, metric: str) -> MeanError:
        """Mean over all places, with the standard error over seeds."""
        return over_seeds(self.values(cell, metric))

    def differences(self, cell: Cell, base: str, metric: str) -> dict[Place, float]:
        """Method minus `base` at every place where both were run."""
        mine, theirs = self.values(cell, metric), self.values(cell._replace(method=base), metric)
        return {place: mine[place] - theirs[place] for place in mine if place in theirs}

    def difference(self, cell: Cell, base: str, metric: str) -> MeanError:
        """Mean of the paired differences, with the standard error over seeds."""
        return over_seeds(self.differences(cell, base, metric))


def over_seeds(values: Mapping[Place, float]) -> MeanError:
    """Places (label set, timeline) of one seed are averaged first: they share what the seed decides."""
    return mean_error(values.values(), [place.seed for place in values])


def find(out: Path, examples: Path) -> Found:
    """All finished runs under `out`. A folder that cannot be read becomes a note.

    `examples`: the folder of the example files, which say what the settings should be.
    """
    found = Found()
    for cell, place, folder in _folders(out):
        run = finished_run(folder, found.notes)
        if run is not None:
            found.outcomes.setdefault(cell, {})[place] = outcome(run)
            departed = departures(run, cell, place, examples)
            found.departed.setdefault(cell.dataset, {}).update(departed)
    return found


def _folders(out: Path) -> Iterator[tuple[Cell, Place, Path]]:
    for dataset, mode, method in product(STREAMS, MODES, METHODS):
        pattern = f"memory-*/{mode}/l*-t*/{method}/seed-*"
        for folder in sorted((out / "runs" / dataset).glob(pattern)):
            memory, place = folder.parents[3].name.removeprefix("memory-"), _place(folder)
            if place and memory.isdecimal():
                cell = Cell(dataset, mode, int(memory), method)
                if folder == run_folder(out, cell, place):
                    yield cell, place, folder


def _place(folder: Path) -> Place | None:
    """Of a folder lL-tT/METHOD/seed-S; None for a name that is none of ours."""
    label_set, _, line = folder.parents[1].name.partition("-")
    words = (label_set.removeprefix("l"), line.removeprefix("t"), folder.name.removeprefix("seed-"))
    return Place(*map(int, words)) if all(word.isdecimal() for word in words) else None


def outcome(run: Run) -> dict[str, float]:
    """METRICS and STEPS of a run whose agents share one model."""
    (record,) = one_per_model(run.records)
    known = run.views.metrics(record)
    signs = {metric: -100.0 if metric.startswith("forgetting") else 100.0 for metric in METRICS}
    return {metric: sign * known[metric] for metric, sign in signs.items()} | _steps(run.records)


def _steps(records: list[AgentRecord]) -> dict[str, float]:
    log = first_log(records)
    if log is None:
        return dict.fromkeys(STEPS, np.nan)
    slope, conflict, moved = descent(log), pairs(log).share, log.moved_mean
    length = np.sqrt(log.length[: log.count][with_memory(log)])
    length = length[~np.isnan(length)]
    return {
        "conflict": 100 * _mean(conflict),
        "ascent": 100 * _mean(np.where(np.isnan(slope), np.nan, slope < -1e-6)),
        "alone": 100 * decided_alone(log).any,
        "memorised": 100 * memorised(log),
        "length": float(np.median(length)) if len(length) else np.nan,
        "edited": _mean(moved) if np.isfinite(moved).any() else 0.0,
    }


def _mean(values: NDArray[np.floating]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def departures(run: Run, cell: Cell, place: Place, examples: Path) -> dict[str, tuple[str, str]]:
    """Setting -> (of the run, of its example file), where they differ; empty for a stream of ours."""
    if cell.dataset not in PUBLISHED:
        return {}
    found = differences(run.settings, _published(cell, place, examples))
    return {key: pair for key, pair in found.items() if key not in NOT_THE_STREAM and pair[0] != ABSENT}


@cache
def _published(cell: Cell, place: Place, examples: Path) -> dict[str, object]:
    stream = stream_sets(cell.dataset, cell.mode, place, cell.memory, quick=False)
    sets = [*METHODS[cell.method].sets, *stream]
    file = examples / f"{STREAMS[cell.dataset].file}.toml"
    return flat_settings(load(file, [*sets, *data_sets(cell.dataset, "byclass")]).to_toml())
