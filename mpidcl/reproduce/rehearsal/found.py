"""The runs that are there, and their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpidcl.record.records import one_per_model
from mpidcl.reproduce.found import finished_run
from mpidcl.reproduce.orderings import verdict
from mpidcl.reproduce.rehearsal.rows import WAYS, run_folder
from mpidcl.views.mean_error import MeanError, mean_error
from mpidcl.views.run import Run

METRICS = {
    "final": "final_accuracy",
    "top5": "final_top5",
    "task": "final_task_accuracy",
    "forgetting": "forgetting_max",
}
"""Ours -> the metric of a run; in percent."""
NUMBERS = (*METRICS, "first", "last", "epoch_s", "cpu_s", "flops", "drawn_bytes")
"""`first`, `last`: final accuracy of the first and of the last task, in percent. Of one agent: seconds of
learning per epoch without waiting, CPU seconds of its whole life, tests included, bytes that it sent as
rows of the global memory. `flops`: of all agents."""


@dataclass
class Found:
    """Outcomes of finished runs: row -> seed -> name of NUMBERS -> value. `notes`: what could not be used."""

    outcomes: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def mean(self, row: str, name: str) -> MeanError:
        """Mean over seeds with its standard error; NaN without runs."""
        outcomes = self.outcomes.get(row, {})
        return mean_error([one[name] for one in outcomes.values()], list(outcomes))

    def difference(self, row: str, base: str, name: str) -> MeanError | None:
        """Row minus base, paired by seed; None where no seed has both."""
        mine, theirs = (self.outcomes.get(one, {}) for one in (row, base))
        pairs = {seed: mine[seed][name] - theirs[seed][name] for seed in mine if seed in theirs}
        return mean_error(pairs.values(), pairs) if pairs else None


def find(out: Path) -> Found:
    """All finished runs under `out`. A folder that cannot be read becomes a note."""
    found = Found()
    for name in WAYS:
        for folder in sorted((out / "runs" / name).glob("seed-*")):
            seed = folder.name.removeprefix("seed-")
            if seed.isdecimal() and folder == run_folder(out, name, int(seed)):
                run = finished_run(folder, found.notes)
                if run is not None:
                    found.outcomes.setdefault(name, {})[int(seed)] = outcome(run)
    return found


def outcome(run: Run) -> dict[str, float]:
    """NUMBERS of a run. All agents have one model, so what one of them measured is what all measured."""
    (record,) = one_per_model(run.records)
    metrics, summary = run.views.metrics(record), run.summary
    by_task = record.evaluations[-1].main
    agents, epochs = len(run.records), int(run.settings["learning.epochs"]) * len(by_task)
    return {name: 100 * metrics.get(metric, np.nan) for name, metric in METRICS.items()} | {
        "first": 100 * by_task[0],
        "last": 100 * by_task[-1],
        "epoch_s": summary["time"]["learn_s"] / agents / epochs,
        "cpu_s": summary["time"]["cpu_s"] / agents,
        "flops": float(summary["flops"]),
        "drawn_bytes": summary.get("drawn_bytes", 0) / agents,
    }


CLAIMS = (
    ("a local buffer is better than none", "local-30", "incremental", "more"),
    ("one buffer is at least as good as local ones", "global-30", "local-30", "no loss"),
    ("10 % are better than 2.5 %", "global-10", "global-2.5", "more"),
    ("30 % are better than 10 %", "global-30", "global-10", "more"),
    ("from scratch is better than a buffer", "from-scratch", "global-30", "more"),
    ("DER++ is better than ER (our question)", "derpp-30", "global-30", "more"),
)
"""Words, row, base and kind of claim: the orderings of the publication, but for the last."""


MEASURES = {"final": "top-1", "top5": "top-5", "task": "in task"}
"""What orderings are tested in."""


def judged(found: Found) -> Iterator[tuple[str, str, MeanError, str]]:
    """Words, measure, paired difference in points, and verdict of each claim whose rows were run."""
    for words, row, base, kind in CLAIMS:
        for name, measure in MEASURES.items():
            difference = found.difference(row, base, name)
            if difference is not None:
                yield words, measure, difference, verdict(difference, kind)
