"""How groups are related: Theta of their messengers beside that of the true models."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mpidcl.base.quantities import NOTHING
from mpidcl.record.records import AgentRecord
from mpidcl.views.base import Sheet, Tile, View
from mpidcl.views.groups import Group
from mpidcl.views.mean_error import mean_error
from mpidcl.views.relation.numbers import RELATION, Relations, relations
from mpidcl.views.run import Run
from mpidcl.views.units import with_error

COLUMNS = {"relation_error": "relation error", "edges_found": "edges found"}
"""Numbers of a run that are compared, and what they are called there."""


class RelationView(View):
    """The learned relation of groups, its error, and how far messengers are apart."""

    name = "relation"
    reads = (RELATION,)

    def summary(self, records: Sequence[AgentRecord]) -> dict[str, object]:
        """`relation`: error, edges found and spread; None where there is no such number."""
        found = relations(records)
        if found is None:
            return {}
        numbers = {"relation_error": found.error, "edges_found": found.edges_found, "spread": found.spread}
        return {"relation": {name: one if math.isfinite(one) else None for name, one in numbers.items()}}

    def tiles(self, run: Run) -> list[Tile]:
        found = relations(run.records)
        if found is None or found.true is None:
            return []
        words = "relation error: distance of Theta from that of the true models, by the length of that"
        return [Tile(f"{found.error:.3g}", None, words)]

    def lines(self, run: Run) -> list[str]:
        found = relations(run.records)
        return ["Relation: no messenger has learned one."] if found is None else [told(found)]

    def columns(self, groups: Sequence[Group]) -> dict[str, list[str]]:
        every = {words: [_mean(group, name) for group in groups] for name, words in COLUMNS.items()}
        return {words: texts for words, texts in every.items() if any(text != NOTHING for text in texts)}

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.relation import figures

        found = relations(run.records)
        if found is None or len(found.first.theta) < 2:
            return []
        maps = Sheet.of("relation", "How groups are related", figures.relation_maps, found)
        if len(found.first.theta) > figures.MOST_NODES:
            return [maps]
        return [maps, Sheet.of("task-graph", "Graph of the tasks", figures.task_graph, found)]


def told(found: Relations) -> str:
    """A sentence about the numbers."""
    count, parts = len(found.first.theta), []
    if found.true is not None:
        parts.append(f"|Theta - Theta*| / |Theta*| is {found.error:.3g}")
    if not math.isnan(found.edges_found):
        edges = f"{count * found.edges_found:.3g} of the {count} strongest true edges are among the {count}"
        parts.append(f"{edges} strongest learned ones")
    if len(found.learned) > 1:
        parts.append(f"messengers of {len(found.learned)} groups are at most {found.spread:.2g} apart")
    return f"Relation of {count} groups: {'; '.join(parts) or 'one messenger'}."


def _mean(group: Group, name: str) -> str:
    """Mean over seeds; of one seed, the number alone."""
    values = {run.seed: run.summary.get("relation", {}).get(name) for run in group.runs}
    known = {seed: value for seed, value in values.items() if value is not None}
    mean = mean_error(known.values(), known)
    return with_error(mean.mean, mean.standard_error, mean.mark, "")
