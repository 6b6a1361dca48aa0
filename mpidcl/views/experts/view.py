"""Models of experts: how much they tell classes apart, how evenly they are used, who came and went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpidcl.learning.experts.log import CHANGES, EXPERTS
from mpidcl.record.records import AgentRecord
from mpidcl.views.base import Metric, Sheet, Tile, View
from mpidcl.views.experts import numbers
from mpidcl.views.run import Run
from mpidcl.views.tasks.view import metric_tile

METRICS = (
    Metric("expert_information", "information [nats]", compared="information [nats]"),
    Metric(
        "expert_information_ratio",
        "information / shuffled",
        compared="information / shuffled",
        panel="information / shuffled",
    ),
    Metric("expert_specialisation", "specialisation", compared="specialisation"),
    Metric("expert_balance", "even use", compared="even use"),
    Metric("routing_confidence", "confidence of the router", compared="confidence"),
)


class ExpertsView(View):
    """Which expert answers which class; load and specialisation; information of gates about classes."""

    name = "experts"
    reads = (EXPERTS, CHANGES)

    def metrics(self, record: AgentRecord) -> dict[str, float]:
        return numbers.metrics(record)

    def shown(self, record: AgentRecord) -> Sequence[Metric]:
        return METRICS

    def summary(self, records: Sequence[AgentRecord]) -> dict[str, object]:
        return {"experts": numbers.summary(self._mine(records))}

    def tiles(self, run: Run) -> list[Tile]:
        if run.summary["metrics"]["expert_information_ratio"] is None:
            return []
        words = "times as much do the gates tell of the class as they do of shuffled labels"
        return [metric_tile(run, "expert_information_ratio", words)]

    def reading(self, run: Run) -> str:
        return (
            "Information is that of expert and class, in nats, of validation rows after the last task; beside"
            " it how many times that of shuffled labels it is. Specialisation, a mean weighted by load: 1"
            " where each expert answers one class, 0 where classes make no difference. Even use: 1 where all"
            " experts in use have the same load. Confidence: 1 where one expert has all of a row; it says"
            " nothing of classes."
        )

    def lines(self, run: Run) -> list[str]:
        return [*told(self._mine(run.records)), *self.notices(run)]

    def notices(self, run: Run) -> list[str]:
        found = {record.agent: numbers.all_frozen_from(record) for record in self._mine(run.records)}
        return [
            f"All experts of agent {agent} were frozen when task {task} was learned: from there its encoder,"
            " router and heads learned alone. A higher learning.freeze_above, or learning.grow, leaves some"
            " that learn."
            for agent, task in found.items()
            if task is not None
        ]

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.experts import figures, maps

        records = [record for record in self._mine(run.records) if record.has(EXPERTS)]
        if not records:
            return []
        lives = "expert-lives", "What became of the experts", maps.expert_lives
        told_of = "expert-information", "What the gates tell of the class", figures.information
        sheets = [Sheet.of(*lives, records), Sheet.of(*told_of, records)]
        if any(numbers.class_shares(record) for record in records):
            classes = "expert-classes", "Which expert answers which class", maps.class_maps
            sheets.insert(0, Sheet.of(*classes, records))
        return sheets

    def _mine(self, records: Sequence[AgentRecord]) -> list[AgentRecord]:
        return [record for record in records if self.sees(record)]


def told(records: Sequence[AgentRecord]) -> list[str]:
    """A line about how many there are, and what became of them."""
    count = numbers.counted(records)
    parts = [f"{count['came']} came, {count['frozen']} were frozen, {count['went']} went"]
    ends = [one for one in map(numbers.standing, records) if one is not None]
    if ends:
        parts.insert(0, f"{np.mean([one.used for one in ends]):.1f} in use per agent at the end")
    ratios = numbers.known(numbers.metrics(record)["expert_information_ratio"] for record in records)
    if ratios:
        parts.append(
            f"their gates tell {np.mean(ratios):.3g} times as much of the class as of shuffled labels"
        )
    return [f"experts: {'; '.join(parts)}"]
