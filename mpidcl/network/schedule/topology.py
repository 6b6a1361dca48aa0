"""Who is connected to whom: a directed graph of agents whose links carry frames one way each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from mpidcl.experiment.units import counted


@dataclass(frozen=True, slots=True)
class Link:
    """A directed link from agent `source` to its neighbour `target`.

    `budget` is the most bytes of one use (payload and headers, all legs; None: no limit).
    `latency` and `jitter` in seconds, `bandwidth` in bytes per second (None: unlimited) and `loss`
    (probability that a frame is lost) describe the network that is simulated, not the one MPI uses.
    """

    index: int
    source: int
    target: int
    classes: tuple[str, ...] = ()
    budget: int | None = None
    latency: float = 0.0
    bandwidth: float | None = None
    jitter: float = 0.0
    loss: float = 0.0

    @property
    def name(self) -> str:
        """How messages to the user call the link."""
        return f"link {self.source} -> {self.target}"

    def in_class(self, wanted: str) -> bool:
        """Whether an exchange on links of class `wanted` uses this link."""
        return wanted == "all" or wanted in self.classes


@dataclass(frozen=True)
class Topology:
    """A fixed directed graph; `links` are in order of (source, target)."""

    name: str
    agents: int
    links: tuple[Link, ...]

    @cached_property
    def outgoing(self) -> tuple[dict[int, Link], ...]:
        """For every agent: target -> link, in order of target."""
        table: list[dict[int, Link]] = [{} for _ in range(self.agents)]
        for link in self.links:
            table[link.source][link.target] = link
        return tuple(table)

    @cached_property
    def incoming(self) -> tuple[dict[int, Link], ...]:
        """For every agent: source -> link, in order of source."""
        table: list[dict[int, Link]] = [{} for _ in range(self.agents)]
        for link in self.links:
            table[link.target][link.source] = link
        return tuple(table)

    def neighbours(self, agent: int) -> tuple[int, ...]:
        """Agents with a link to or from `agent`, in order of id."""
        return tuple(sorted(self.outgoing[agent].keys() | self.incoming[agent].keys()))

    def one_way(self) -> list[Link]:
        """Links without a link back."""
        return [link for link in self.links if link.source not in self.outgoing[link.target]]

    def islands(self) -> list[list[int]]:
        """Groups of agents between which nothing can travel, each sorted, largest first."""
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(self.agents))
        graph.add_edges_from((link.source, link.target) for link in self.links)
        return sorted((sorted(group) for group in nx.connected_components(graph)), key=lambda g: (-len(g), g))

    def describe(self) -> str:
        """A text drawing for a log without a display: connectivity, then every agent's neighbours."""
        islands = self.islands()
        joined = "connected" if len(islands) == 1 else f"NOT connected: {len(islands)} separate groups"
        lines = [
            f"{self.name}: {counted(self.agents, 'agent')}, {counted(len(self.links), 'link')}, {joined}"
        ]
        width = len(str(self.agents - 1))
        for agent in range(min(self.agents, 64)):
            lines.append(f"  {agent:>{width}} {self._arrows(agent)}")
        if self.agents > 64:
            lines.append(f"  ... and {self.agents - 64} more agents")
        if len(islands) > 1:
            lines.append("  groups: " + "; ".join(" ".join(map(str, group)) for group in islands[:8]))
        return "\n".join(lines)

    def _arrows(self, agent: int) -> str:
        out, back = self.outgoing[agent], self.incoming[agent]
        parts = []
        for other in self.neighbours(agent):
            sign = "<->" if other in out and other in back else "-->" if other in out else "<--"
            parts.append(f"{sign} {other}")
        return "  ".join(parts) or "(no neighbours)"
