"""The runs that are there, their numbers, and what they say of what is claimed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mpidcl.learning.experts.log import ROUTING
from mpidcl.record.records import AgentRecord
from mpidcl.reproduce import outcomes
from mpidcl.reproduce.dmkd.rows import WAYS
from mpidcl.reproduce.orderings import verdict
from mpidcl.reproduce.outcomes import Found
from mpidcl.views.mean_error import MeanError
from mpidcl.views.run import Run

METRICS = {"final": "final_accuracy", "task": "final_task_accuracy", "forgetting": "forgetting_max"}
"""Ours -> the metric of a run, mean over agents; in percent."""
NUMBERS = (*METRICS, "sent_mib", "information", "shuffled", "cpu_s", "gflop")
"""`sent_mib`: of one agent. `information`: in nats, of class and expert at the end, mean over agents;
`shuffled`: the same of shuffled labels. `cpu_s`: of one agent, tests included; `gflop`: of all agents."""
CLAIMS = (
    ("DMKD beats isolated ER", "dmkd", "er", "final", "more"),
    ("DMKD beats FedAvg in sequence", "dmkd", "fedavg", "final", "more"),
    ("DMKD beats FedAvg with ER", "dmkd", "fedavg-er", "final", "more"),
    ("DMKD beats permutation merging with ER", "dmkd", "matching", "final", "more"),
    ("distillation lessens forgetting", "no-distillation", "dmkd", "forgetting", "more"),
    ("preservation lessens forgetting", "no-preservation", "dmkd", "forgetting", "more"),
    ("distillation raises accuracy", "dmkd", "no-distillation", "final", "more"),
    ("preservation raises accuracy", "dmkd", "no-preservation", "final", "more"),
    ("sharing raises accuracy", "dmkd", "alone", "final", "more"),
    ("10 % of the parameters are as good as all", "sparse-10", "average", "final", "no loss"),
    ("guided routing raises accuracy", "guided", "dmkd", "final", "more"),
    ("experts are at least as good as a dense net", "neither", "fedavg-er", "final", "no loss"),
    ("experts of an earlier run save half of the steps", "reused", "later", "final", "no loss"),
    ("experts of an earlier run raise accuracy", "reused", "later-half", "final", "more"),
)
"""Words, row, base, number and kind of claim: those of issue and proposal."""


def find(out: Path) -> Found:
    """All finished runs under `out`. A folder that cannot be read becomes a note."""
    return outcomes.find(out, WAYS, outcome)


def outcome(run: Run) -> dict[str, float]:
    """NUMBERS of a run."""
    agents = [run.views.metrics(record) for record in run.records]
    found = {
        name: 100 * float(np.mean([one.get(metric, math.nan) for one in agents]))
        for name, metric in METRICS.items()
    }
    sent = sum(record.evaluations[-1].wire_bytes for record in run.records)
    return found | {
        "sent_mib": sent / len(agents) / 2**20,
        "information": _last(run.records, "information"),
        "shuffled": _last(run.records, "shuffled"),
        "cpu_s": run.summary["time"]["cpu_s"] / len(agents),
        "gflop": float(run.summary["flops"]) / 1e9,
    }


def _last(records: Sequence[AgentRecord], column: str) -> float:
    """Mean over agents of a column of the table of routing, when the last task had ended."""
    tables = [record.tables[ROUTING] for record in records if record.has(ROUTING)]
    return float(np.mean([table[column][-1] for table in tables])) if tables else math.nan


def judged(found: Found) -> Iterator[tuple[str, str, MeanError, str]]:
    """Words, number, paired difference in points, and verdict of each claim whose rows were run."""
    for words, row, base, name, kind in CLAIMS:
        difference = found.difference(row, base, name)
        if difference is not None:
            yield words, name, difference, verdict(difference, kind)
