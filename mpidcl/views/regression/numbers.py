"""Late errors of linear models: means over the end of a run, of each agent, inside groups and over groups.

A constant step size leaves an error that goes up and down for ever, so one evaluation at the end says little.
Late is what lies in the last fifth of an agent's own time, from 0 to its last evaluation.

late_M of an agent is the mean of measure M over its late evaluations; late_M of a run is the mean over all of
its agents, as of every metric: a large group counts more than a small one. The mean over agents inside each
group, then over groups, is another number where groups have different sizes; `Grouped.over_groups` gives it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpidcl.record.records import AgentRecord, Evaluation

ESTIMATES = "estimates"
"""Table of an agent with a linear model."""
LATE = 0.2
"""Share of the time that is late."""


def group_of(record: AgentRecord) -> int:
    """The group of an agent that has the table."""
    return int(record.tables[ESTIMATES]["group"][0])


def begin_of_late(record: AgentRecord) -> float:
    """The time from which on evaluations are late."""
    return (1 - LATE) * max((one.time for one in record.evaluations), default=0.0)


def measured(one: Evaluation, measure: str) -> float:
    """A measure of an evaluation of the only task; NaN where it was not tested."""
    return next(iter(one.values[measure]), math.nan)


def late(record: AgentRecord) -> dict[str, float]:
    """Mean over the late evaluations by measure, and NaN where one of them has no number."""
    begin = begin_of_late(record)
    rows = [one for one in record.evaluations if one.time >= begin]
    return {one.name: _mean([measured(row, one.name) for row in rows]) for one in record.measures}


def final(record: AgentRecord) -> dict[str, float]:
    """The last evaluation by measure."""
    last = max(record.evaluations, key=lambda one: (one.time, one.tick))
    return {one.name: measured(last, one.name) for one in record.measures}


def metrics(record: AgentRecord) -> dict[str, float]:
    """late_M and final_M of each measure M."""
    if not record.evaluations:
        return {}
    parts = {"late": late(record), "final": final(record)}
    return {f"{when}_{name}": value for when, found in parts.items() for name, value in found.items()}


@dataclass(frozen=True)
class Grouped:
    """Metrics of groups in order of their numbers: `groups` and `agents` [K]; `means` [K] by metric.

    `means` are those over the agents of a group; NaN where one of them has no number.
    """

    groups: tuple[int, ...]
    agents: tuple[int, ...]
    means: dict[str, tuple[float, ...]]

    @property
    def uneven(self) -> bool:
        """Whether a mean over agents and one over groups are two numbers."""
        return len(set(self.agents)) > 1

    def over_groups(self, metric: str) -> float:
        """Mean over groups of the means inside them."""
        return _mean(self.means[metric])


def grouped(records: Sequence[AgentRecord]) -> Grouped:
    """Of the agents of one run that have the table."""
    members: dict[int, list[dict[str, float]]] = {}
    for record in records:
        members.setdefault(group_of(record), []).append(metrics(record))
    ordered = dict(sorted(members.items()))
    names = [name for name in next(iter(ordered.values()), [{}])[0]]
    means = {name: tuple(_mean([one[name] for one in found]) for found in ordered.values()) for name in names}
    return Grouped(tuple(ordered), tuple(len(found) for found in ordered.values()), means)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
