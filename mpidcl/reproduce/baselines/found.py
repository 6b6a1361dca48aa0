"""The runs that are there, and their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from mpidcl.experiment.reading import load
from mpidcl.record.records import one_per_model
from mpidcl.record.settings import ABSENT, differences, flat_settings
from mpidcl.reproduce.baselines.methods import METHODS
from mpidcl.reproduce.baselines.plan import run_folder, sets_of
from mpidcl.reproduce.baselines.streams import SHARING, STREAMS, Cell
from mpidcl.reproduce.found import finished_run
from mpidcl.views.mean_error import MeanError, mean_error
from mpidcl.views.run import Run

METRICS = {
    "final": "final_accuracy",
    "task": "final_task_accuracy",
    "forgetting_max": "forgetting_max",
    "bwt": "bwt",
    "fwt": "fwt",
}
"""Ours -> the metric of a run; in percent."""
COSTS = ("cpu_s", "flops", "replay_bytes", "parameters", "wire_bytes")
"""Of one agent: CPU seconds of its whole life, evaluations included; floating-point operations; bytes of its
memory; floats of its model; bytes that it sent."""
NOT_THE_METHOD = ("name", "seed", "learning.device", "learning.threads")


@dataclass
class Found:
    """Outcomes of finished runs: cell -> seed -> name of METRICS or COSTS -> value.

    `notes`: what could not be used. `departed`: stream -> settings that differ (of the runs, planned).
    """

    outcomes: dict[Cell, dict[int, dict[str, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    departed: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)

    @property
    def streams(self) -> list[str]:
        """Streams with runs, in the order of the protocol."""
        there = {cell.stream for cell in self.outcomes}
        return [name for name in STREAMS if name in there]

    def cells(self, stream: str, *sharing: str) -> list[Cell]:
        """Cells of a stream with runs, method by method, small buffers first."""
        order, ways = list(METHODS), list(SHARING)
        here = [cell for cell in self.outcomes if cell.stream == stream and cell.sharing in sharing]
        key = {cell: (order.index(cell.method), cell.buffer, ways.index(cell.sharing)) for cell in here}
        return sorted(here, key=key.__getitem__)

    def mean(self, cell: Cell, name: str) -> MeanError:
        """Mean over seeds with its standard error; NaN without runs."""
        outcomes = self.outcomes.get(cell, {})
        return mean_error([one[name] for one in outcomes.values()], list(outcomes))


def find(out: Path, examples: Path) -> Found:
    """All finished runs under `out`. A folder that cannot be read becomes a note.

    `examples`: the folder of the example files, which say what the settings should be.
    """
    found = Found()
    for cell, seed, folder in _folders(out):
        run = finished_run(folder, found.notes)
        if run is not None:
            found.outcomes.setdefault(cell, {})[seed] = outcome(run)
            found.departed.setdefault(cell.stream, {}).update(departures(run, cell, examples))
    return found


def _folders(out: Path) -> Iterator[tuple[Cell, int, Path]]:
    for folder in sorted((out / "runs").glob("*/*/*/seed-*")):
        stream, sharing, label, last = folder.parts[-4:]
        method, _, buffer = label.rpartition("-")
        if not buffer.isdecimal():
            method, buffer = label, "0"
        seed = last.removeprefix("seed-")
        if stream in STREAMS and sharing in SHARING and method in METHODS and seed.isdecimal():
            cell = Cell(stream, sharing, method, int(buffer))
            if folder == run_folder(out, cell, int(seed)):
                yield cell, int(seed), folder


def outcome(run: Run) -> dict[str, float]:
    """METRICS and COSTS of a run: the mean over its models, and of one agent."""
    known = [run.views.metrics(record) for record in one_per_model(run.records)]
    found = {
        name: 100 * float(np.mean([one.get(metric, np.nan) for one in known]))
        for name, metric in METRICS.items()
    }
    agents, summary = len(run.records), run.summary
    return found | {
        "cpu_s": summary["time"]["cpu_s"] / agents,
        "flops": summary["flops"] / agents,
        "replay_bytes": float(summary.get("replay_bytes", np.nan)),
        "parameters": float(summary.get("parameters", np.nan)),
        "wire_bytes": run.total("wire_bytes") / agents,
    }


def departures(run: Run, cell: Cell, examples: Path) -> dict[str, tuple[str, str]]:
    """Setting -> (of the run, of the protocol), where they differ."""
    found = differences(run.settings, _protocol(cell, examples))
    return {key: pair for key, pair in found.items() if key not in NOT_THE_METHOD and pair[0] != ABSENT}


@cache
def _protocol(cell: Cell, examples: Path) -> dict[str, object]:
    return flat_settings(load(examples / f"{cell.method}.toml", sets_of(cell)).to_toml())
