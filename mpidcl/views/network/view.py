"""Who sends to whom, and how much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpidcl.base.quantities import bytes_text, count_text
from mpidcl.exchange.predictions.exchange import PREDICTIONS
from mpidcl.record.records import AgentRecord, one_per_model
from mpidcl.views.base import Sheet, Tile, View
from mpidcl.views.run import TOGETHER, Run


class NetworkView(View):
    """Traffic, and a picture of the network."""

    name = "network"

    def summary(self, records: Sequence[AgentRecord]) -> dict[str, object]:
        """How many models there are, and what training them together has sent."""
        found: dict[str, object] = {}
        if any("model" in record.counters for record in records):
            found["models"] = len(one_per_model(records))
            found["combined_bytes"] = 0
        for name in TOGETHER:
            sent = sum(record.counters.get(name, 0) for record in records)
            found |= {name: sent} if sent else {}
        return found

    def tiles(self, run: Run) -> list[Tile]:
        if not run.finished:
            return []
        found, communication = [], run.summary["communication"]
        together = run.sent_together()
        if communication["frames"] or not together:
            floats = unbroken(count_text(communication["paper_floats"]))
            words = f"sent on all links, headers included; {floats} floats as the paper counts"
            found.append(Tile(unbroken(bytes_text(communication["wire_bytes"])), None, words))
        for name, size in together.items():
            words = f"sent by all agents {TOGETHER[name].why}, with a rank each"
            found.append(Tile(unbroken(bytes_text(size)), None, words))
        return found

    def lines(self, run: Run) -> list[str]:
        """How many rows neighbours were asked about, where they were."""
        tables = [record.tables[PREDICTIONS] for record in run.records if PREDICTIONS in record.tables]
        asked, lacking = (sum(int(np.sum(one[name])) for one in tables) for name in ("asked", "unanswered"))
        if not asked:
            return []
        return [f"neighbours were asked about {asked} rows; {lacking} of them were answered by nobody"]

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.network.topology import topology

        if not _has_network(run):
            return []
        known = run.records, run.links, run.views
        return [Sheet.of("topology", "Network", topology, *known, main=run.records[0].main)]


def _has_network(run: Run) -> bool:
    """Agents that share one model need no links, and send none of what links count."""
    if len(one_per_model(run.records)) < len(run.records):
        return any(record.ledger for record in run.records)
    return bool(run.links) or len(run.records) > 1 and run.finished


def unbroken(text: str) -> str:
    """A number and its unit stay on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
