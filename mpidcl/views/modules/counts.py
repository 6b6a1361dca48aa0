"""The modules of a run, counted: who grew by how much, what was kept, and from whom it came."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from mpidcl.learning.compositional.decisions import DECISIONS, STRUCTURES, ModuleDecision
from mpidcl.record.records import AgentRecord
from mpidcl.record.tables import from_columns
from mpidcl.views.mean_error import MeanError, Pair, mean_error, paired_mean


def decisions(record: AgentRecord) -> list[ModuleDecision]:
    """What became of its candidates, by task."""
    return from_columns(ModuleDecision, record.tables[DECISIONS]) if record.has(DECISIONS) else []


def shares(record: AgentRecord) -> NDArray[np.float64]:
    """Share of each module in each layer `[tasks, modules, depth]`; `[0, 0, 0]` without structures."""
    table = record.tables.get(STRUCTURES)
    return np.zeros((0, 0, 0)) if table is None else np.asarray(table["share"], np.float64)


def kept(record: AgentRecord) -> list[ModuleDecision]:
    """The candidates that became modules, by task."""
    return [decision for decision in decisions(record) if decision.kept]


def first_modules(record: AgentRecord) -> int:
    """How many modules the agent began with."""
    found = decisions(record)
    if not found:
        return int(shares(record).shape[1])
    return found[0].modules - sum(one.kept for one in found if one.task == found[0].task)


def growth(record: AgentRecord) -> list[int]:
    """How many modules the agent had at the end of each task `[tasks]`."""
    added = Counter(decision.task for decision in kept(record))
    tasks = range(max(record.tasks, len(shares(record))))
    return list(accumulate((added[task] for task in tasks), initial=first_modules(record)))[1:]


def final_modules(record: AgentRecord) -> int:
    """How many modules the agent has at the end."""
    found = decisions(record)
    return found[-1].modules if found else first_modules(record)


def final_mean(models: Mapping[Pair, AgentRecord]) -> MeanError | None:
    """Modules at the end, over the agents that have any, and seeds; None without any."""
    growing = {pair: one for pair, one in models.items() if one.has(DECISIONS) or one.has(STRUCTURES)}
    return paired_mean({pair: final_modules(one) for pair, one in growing.items()}) if growing else None


def given(records: Sequence[AgentRecord]) -> Counter[int]:
    """By agent: how often another agent kept a module that had been its own."""
    return Counter(one.source for record in records for one in kept(record) if one.received)


def module_summary(records: Sequence[AgentRecord]) -> dict[str, object]:
    """What `summary.json` says of modules, over agents that have any: counts, and means over agents.

    `kept_gain` is the mean accuracy (0..1, validation rows) that a kept candidate added; None without any.
    """
    found = [decision for record in records for decision in decisions(record)]
    modules = mean_error(final_modules(record) for record in records)
    gain = mean_error(decision.gain for decision in found if decision.kept).mean
    return {
        "mean": modules.mean,
        "standard_error": None if math.isnan(modules.standard_error) else modules.standard_error,
        "standard_error_over": modules.over(),
        "by_agent": [final_modules(record) for record in records],
        "first": [first_modules(record) for record in records],
        "candidates": len(found),
        "kept": sum(decision.kept for decision in found),
        "received": sum(decision.received for decision in found),
        "received_kept": sum(decision.received and decision.kept for decision in found),
        "kept_gain": None if math.isnan(gain) else gain,
    }
