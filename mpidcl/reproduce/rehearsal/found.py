"""The runs that are there, and their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mpidcl.record.records import one_per_model
from mpidcl.reproduce import outcomes
from mpidcl.reproduce.orderings import verdict
from mpidcl.reproduce.outcomes import Found
from mpidcl.reproduce.rehearsal.rows import WAYS
from mpidcl.views.mean_error import MeanError
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


def find(out: Path) -> Found:
    """All finished runs under `out`. A folder that cannot be read becomes a note."""
    return outcomes.find(out, WAYS, outcome)


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
