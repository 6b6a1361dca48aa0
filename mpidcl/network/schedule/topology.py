"""Who is connected to whom: a directed graph of agents whose links carry frames one way each.

A network may have a million links, and a process uses those of its own agents. So a topology holds the ends
of links as arrays, and makes a `Link` when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mpidcl.experiment.units import counted

Indices = npt.NDArray[np.int64]
Spans = tuple[tuple[float, float], ...]
"""Times from the first of each pair to the second, in order; none of them touch."""


def disjoint(*spans: Iterable[tuple[float, float]]) -> Spans:
    """All of these times together.

    >>> disjoint([(3.0, 4.0), (0.0, 1.0)], [(1.0, 2.0)])
    ((0.0, 2.0), (3.0, 4.0))
    """
    found: list[tuple[float, float]] = []
    for first, last in sorted(chain(*spans)):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return tuple(found)


class Settings(NamedTuple):
    """What a link has beside its place: see `Link`."""

    classes: tuple[str, ...] = ()
    budget: int | None = None
    latency: float = 0.0
    bandwidth: float | None = None
    jitter: float = 0.0
    loss: float = 0.0
    burst: float | None = None
    shared: bool = False
    down: Spans = ()

    def in_class(self, wanted: str) -> bool:
        """Whether an exchange on links of class `wanted` uses links with these."""
        return wanted == "all" or wanted in self.classes


@dataclass(frozen=True, slots=True)
class Link:
    """A directed link from agent `source` to its neighbour `target`.

    `budget` is the most bytes of one use (payload and headers, all legs; None: no limit).
    `latency` and `jitter` in seconds, `bandwidth` in bytes per second (None: unlimited) and `loss`
    (probability that a frame is lost) describe the network that is simulated, not the one MPI uses.
    `burst`: mean number of frames that are lost in a row (None: they are lost independently). `shared`: the
    bandwidth is that of the source, for all its links. `down`: when, in virtual time, it is not there.
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
    burst: float | None = None
    shared: bool = False
    down: Spans = ()

    @property
    def settings(self) -> Settings:
        """All but its place."""
        return Settings(
            self.classes,
            self.budget,
            self.latency,
            self.bandwidth,
            self.jitter,
            self.loss,
            self.burst,
            self.shared,
            self.down,
        )

    @property
    def name(self) -> str:
        """How messages to the user call the link."""
        return f"link {self.source} -> {self.target}"

    def in_class(self, wanted: str) -> bool:
        """Whether an exchange on links of class `wanted` uses this link."""
        return wanted == "all" or wanted in self.classes


class Topology:
    """A fixed directed graph. Link number i goes from `edges[i, 0]` to `edges[i, 1]`, in order of these.

    edges [n, 2]: in order, each once. sort [n]: which of `settings` a link has; None: all have the first.
    """

    def __init__(
        self,
        name: str,
        agents: int,
        edges: Indices,
        settings: Sequence[Settings] = (Settings(),),
        sort: Indices | None = None,
    ) -> None:
        self.name, self.agents, self.edges, self.settings = name, agents, edges, tuple(settings)
        self.sort: Indices = np.broadcast_to(np.int64(0), len(edges)) if sort is None else sort
        self._starts = np.searchsorted(edges[:, 0], np.arange(agents + 1))
        self._links: dict[int, Link] = {}
        self._classes: dict[str, npt.NDArray[np.bool_]] = {}
        self._outgoing: dict[int, dict[int, Link]] = {}
        self._incoming: dict[int, dict[int, Link]] = {}

    @classmethod
    def of(cls, name: str, agents: int, links: Iterable[Link]) -> Topology:
        """The one with these links, which are numbered anew in their order."""
        ordered = sorted(links, key=lambda link: (link.source, link.target))
        edges = np.array([(link.source, link.target) for link in ordered], np.int64).reshape(-1, 2)
        settings: dict[Settings, int] = {}
        sort = [settings.setdefault(link.settings, len(settings)) for link in ordered]
        return cls(name, agents, edges, tuple(settings), np.array(sort, np.int64))

    # --- links, made when they are asked for ------------------------------------------------------

    def at(self, index: int) -> Link:
        """Link number `index`."""
        if index not in self._links:
            source, target = self.edges[index].tolist()
            self._links[index] = Link(index, source, target, *self.settings[self.sort[index]])
        return self._links[index]

    @property
    def links(self) -> tuple[Link, ...]:
        """All of them, which is much in a large network."""
        return tuple(map(self.at, range(len(self.edges))))

    def outgoing(self, agent: int) -> dict[int, Link]:
        """The links out of an agent: target -> link, in order of target."""
        if agent not in self._outgoing:
            places = range(self._starts[agent], self._starts[agent + 1])
            self._outgoing[agent] = {link.target: link for link in map(self.at, places)}
        return self._outgoing[agent]

    def incoming(self, agent: int) -> dict[int, Link]:
        """The links into an agent: source -> link, in order of source."""
        if agent not in self._incoming:
            places = self._into(agent).tolist()
            self._incoming[agent] = {link.source: link for link in map(self.at, places)}
        return self._incoming[agent]

    # --- ends, without a link ---------------------------------------------------------------------

    def targets(self, agent: int) -> Indices:
        """Agents with a link from `agent`, in order."""
        found: Indices = self.edges[self._starts[agent] : self._starts[agent + 1], 1]
        return found

    def sources(self, agent: int) -> Indices:
        """Agents with a link to `agent`, in order."""
        found: Indices = self.edges[self._into(agent), 0]
        return found

    def neighbours(self, agent: int) -> tuple[int, ...]:
        """Agents with a link to or from `agent`, in order of id."""
        return tuple(sorted({*self.targets(agent).tolist(), *self.sources(agent).tolist()}))

    @cached_property
    def degrees(self) -> Indices:
        """How many neighbours each agent has."""
        both = np.bincount(self.edges[self.back >= 0, 0], minlength=self.agents)
        found: Indices = np.bincount(self.edges.ravel(), minlength=self.agents) - both
        return found

    @cached_property
    def back(self) -> Indices:
        """Of each link the number of the one between the same ends the other way; -1: there is none."""
        if not len(self.edges):
            return np.empty(0, np.int64)
        codes, reverse = self.edges @ (self.agents, 1), self.edges @ (1, self.agents)
        found: Indices = np.searchsorted(codes, reverse).clip(max=len(self.edges) - 1)
        found[codes[found] != reverse] = -1
        return found

    def one_way(self) -> Indices:
        """Numbers of the links without a link back."""
        return np.flatnonzero(self.back < 0)

    def count(self, wanted: str) -> int:
        """How many links are in class `wanted`."""
        return int(self._fits(wanted)[self.sort].sum())

    def users(self, agent: int, wanted: str) -> list[int]:
        """Neighbours with a link in class `wanted`: those with one from `agent`, then with one to it."""
        out = slice(self._starts[agent], self._starts[agent + 1])
        into, fits = self._into(agent), self._fits(wanted)
        targets, sources = self.edges[out, 1], self.edges[into, 0]
        return [*targets[fits[self.sort[out]]].tolist(), *sources[fits[self.sort[into]]].tolist()]

    def _fits(self, wanted: str) -> npt.NDArray[np.bool_]:
        """Which settings are in a class: found once, since every link may have its own."""
        if wanted not in self._classes:
            self._classes[wanted] = np.array([one.in_class(wanted) for one in self.settings], np.bool_)
        return self._classes[wanted]

    def _into(self, agent: int) -> Indices:
        order, starts = self._by_target
        found: Indices = order[starts[agent] : starts[agent + 1]]
        return found

    @cached_property
    def _by_target(self) -> tuple[Indices, Indices]:
        """Numbers of the links in order of (target, source), and where each target begins there."""
        order: Indices = np.argsort(self.edges[:, 1], kind="stable")
        return order, np.searchsorted(self.edges[order, 1], np.arange(self.agents + 1))

    # --- the whole --------------------------------------------------------------------------------

    def islands(self) -> list[list[int]]:
        """Groups of agents between which nothing can travel, each sorted, largest first."""
        unseen, groups = np.ones(self.agents, np.bool_), []
        for start in range(self.agents):
            if unseen[start]:
                unseen[start] = False
                group = [start]
                for agent in group:  # which grows meanwhile
                    for near in (self.targets(agent), self.sources(agent)):
                        fresh = near[unseen[near]]
                        unseen[fresh] = False
                        group += fresh.tolist()
                groups.append(sorted(group))
        return sorted(groups, key=lambda group: (-len(group), group))

    def describe(self) -> str:
        """A text drawing for a log without a display: connectivity, then every agent's neighbours."""
        islands = self.islands()
        joined = "connected" if len(islands) == 1 else f"NOT connected: {len(islands)} separate groups"
        lines = [
            f"{self.name}: {counted(self.agents, 'agent')}, {counted(len(self.edges), 'link')}, {joined}"
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
        out, back = {*self.targets(agent).tolist()}, {*self.sources(agent).tolist()}
        parts = []
        for other in self.neighbours(agent):
            sign = "<->" if other in out and other in back else "-->" if other in out else "<--"
            parts.append(f"{sign} {other}")
        return "  ".join(parts) or "(no neighbours)"
