"""The modules of a run, counted: who grew by how much, what was kept, and from whom it came."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mpidcl.record.mean_error import mean_error
from mpidcl.record.records import AgentRecord, ModuleDecision


def has_modules(record: AgentRecord) -> bool:
    """Whether the agent's model is made of modules."""
    return bool(record.modules) or record.structures.size > 0


def kept(record: AgentRecord) -> list[ModuleDecision]:
    """The candidates that became modules, by task."""
    return [decision for decision in record.modules if decision.kept]


def first_modules(record: AgentRecord) -> int:
    """How many modules the agent began with."""
    if not record.modules:
        return int(record.structures.shape[1])
    first = record.modules[0]
    added = sum(decision.kept for decision in record.modules if decision.task == first.task)
    return first.modules - added


def growth(record: AgentRecord) -> list[int]:
    """How many modules the agent had at the end of each task `[tasks]`."""
    added = Counter(decision.task for decision in kept(record))
    counts, count = [], first_modules(record)
    for task in range(max(record.tasks, len(record.structures))):
        count += added[task]
        counts.append(count)
    return counts


def final_modules(record: AgentRecord) -> int:
    """How many modules the agent has at the end."""
    return record.modules[-1].modules if record.modules else first_modules(record)


def given(records: Sequence[AgentRecord]) -> Counter[int]:
    """By agent: how often another agent kept a module that had been its own."""
    return Counter(one.source for record in records for one in kept(record) if one.received)


def module_summary(records: Sequence[AgentRecord]) -> dict[str, Any]:
    """What `summary.json` says of modules, over the agents that have any: counts, and means over agents.

    `kept_gain` is the mean accuracy (0..1, validation rows) that a kept candidate added; None without any.
    """
    modular = [record for record in records if has_modules(record)]
    decisions = [decision for record in modular for decision in record.modules]
    modules = mean_error(final_modules(record) for record in modular)
    gain = mean_error(decision.gain for decision in decisions if decision.kept).mean
    return {
        "mean": modules.mean,
        "standard_error": None if math.isnan(modules.standard_error) else modules.standard_error,
        "standard_error_over": modules.over(),
        "by_agent": [final_modules(record) for record in modular],
        "first": [first_modules(record) for record in modular],
        "candidates": len(decisions),
        "kept": sum(decision.kept for decision in decisions),
        "received": sum(decision.received for decision in decisions),
        "received_kept": sum(decision.received and decision.kept for decision in decisions),
        "kept_gain": None if math.isnan(gain) else gain,
    }
