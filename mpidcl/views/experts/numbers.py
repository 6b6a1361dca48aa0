"""The experts of an agent as numbers: load and specialisation by task, who came and went, what gates tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.learning.experts.log import (
    CAME,
    CHANGES,
    CLASSES,
    EXPERTS,
    FROZEN,
    ROUTING,
    WENT,
    ExpertChange,
    ExpertRow,
    RoutingRow,
)
from mpidcl.record.records import AgentRecord
from mpidcl.record.tables import from_columns

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Lives(NamedTuple):
    """Of N experts when each of T tasks had been learned, each [T, N]; `tasks [T]`.

    `load` and `specialisation` are NaN of an expert that was not in use; `used` and `frozen`: while the task
    was learned.
    """

    tasks: list[int]
    load: Doubles
    specialisation: Doubles
    used: Bools
    frozen: Bools


def lives(record: AgentRecord) -> Lives | None:
    """None where nothing was measured."""
    if not record.has(EXPERTS):
        return None
    rows = from_columns(ExpertRow, record.tables[EXPERTS])
    tasks = sorted({row.task for row in rows})
    shape = len(tasks), max(row.expert for row in rows) + 1
    load, special = np.full(shape, np.nan), np.full(shape, np.nan)
    used, frozen = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for row in rows:
        place = tasks.index(row.task), row.expert
        used[place], frozen[place] = row.used, row.frozen
        if row.used:
            load[place], special[place] = row.load, row.specialisation
    return Lives(tasks, load, special, used, frozen)


def changes(record: AgentRecord) -> list[ExpertChange]:
    """Who came, was frozen and went, in order."""
    return from_columns(ExpertChange, record.tables[CHANGES]) if record.has(CHANGES) else []


def routing(record: AgentRecord) -> list[RoutingRow]:
    """What the gates told when each task had been learned."""
    return from_columns(RoutingRow, record.tables[ROUTING]) if record.has(ROUTING) else []


def class_shares(record: AgentRecord) -> dict[int, tuple[list[int], Doubles]]:
    """By task: its classes, and which part of the gates of a class each expert had [classes, N]."""
    if not record.has(CLASSES):
        return {}
    table = record.tables[CLASSES]
    tasks, labels = (np.asarray(table[name]) for name in ("task", "label"))
    mass = np.asarray(table["mass"], np.float64)
    shares = mass / np.maximum(mass.sum(1, keepdims=True), 1e-300)
    return {
        task: (labels[tasks == task].tolist(), shares[tasks == task]) for task in sorted({*tasks.tolist()})
    }


def metrics(record: AgentRecord) -> dict[str, float]:
    """Of the last task that was measured; NaN where there is none."""
    last, found = routing(record)[-1:], lives(record)
    if not last or found is None:
        return dict.fromkeys(NAMES, math.nan)
    (one,) = last
    ratio = one.information / one.shuffled if one.shuffled > 0 else math.nan
    values = one.information, ratio, specialisation(found)[-1], one.balance, one.confidence
    return dict(zip(NAMES, values, strict=True))


NAMES = (
    "expert_information",
    "expert_information_ratio",
    "expert_specialisation",
    "expert_balance",
    "routing_confidence",
)


def specialisation(found: Lives) -> list[float]:
    """Mean over experts, weighted by their load, after each task; NaN where no expert has any."""
    means = []
    for load, special in zip(found.load, found.specialisation, strict=True):
        known = np.isfinite(special) & (np.nan_to_num(load) > 0)
        means.append(float(np.average(special[known], weights=load[known])) if known.any() else math.nan)
    return means


class Standing(NamedTuple):
    """At the end: how many experts are in use, and how many of these learn no more."""

    used: int
    frozen: int


def standing(record: AgentRecord) -> Standing | None:
    """After the last changes; None where nothing was measured."""
    found = lives(record)
    if found is None:
        return None
    used, frozen = found.used[-1].copy(), found.frozen[-1].copy()
    for one in changes(record):
        if one.task == found.tasks[-1] and one.change != CAME:
            used[one.expert] &= one.change != WENT
            frozen[one.expert] |= one.change == FROZEN
    return Standing(int(used.sum()), int((used & frozen).sum()))


def all_frozen_from(record: AgentRecord) -> int | None:
    """The first task that was learned while all experts in use were frozen; None: none was."""
    found = lives(record)
    if found is None:
        return None
    still = (found.frozen | ~found.used).all(1) & found.used.any(1)
    return found.tasks[int(np.argmax(still))] if still.any() else None


def counted(records: Sequence[AgentRecord]) -> dict[str, int]:
    """How often experts of all agents `came`, were `frozen`, and `went`."""
    kinds = [one.change for record in records for one in changes(record)]
    return {"came": kinds.count(CAME), "frozen": kinds.count(FROZEN), "went": kinds.count(WENT)}


def summary(records: Sequence[AgentRecord]) -> Mapping[str, object]:
    """What `summary.json` says of experts: counts over all agents, and of each agent those at the end."""
    ends = [standing(record) for record in records]
    return {
        **counted(records),
        "used_by_agent": [None if one is None else one.used for one in ends],
        "frozen_by_agent": [None if one is None else one.frozen for one in ends],
    }


def chosen(count: int, most: int) -> list[int]:
    """All places, or `most` of them: evenly spread, the first and the last among them."""
    return sorted({int(place) for place in np.linspace(0, count - 1, min(count, most)).round()})


def known(values: Iterable[float]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if not math.isnan(value)]
