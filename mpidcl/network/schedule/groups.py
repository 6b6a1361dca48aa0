"""Groups of agents that share a task, their messengers, and the links of the topology `groups`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from mpidcl.errors import ExperimentError
from mpidcl.experiment.group_table import CLASSES, GroupTable
from mpidcl.experiment.network_table import MOST_LINKS, Network

INSIDE, REPORT, MESSENGER, BETWEEN = (1 << place for place in range(len(CLASSES)))
"""Classes of a link as bits: one inside a group may also be one to its messenger."""
Edges = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """The groups of an experiment: `members`, `messengers` and `deputies` of each, and `of` [agents]."""

    members: tuple[tuple[int, ...], ...]
    messengers: tuple[tuple[int, ...], ...]
    deputies: tuple[tuple[int, ...], ...]
    of: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.members)

    def may_speak(self, agent: int) -> bool:
        """Whether an agent is a messenger of its group, or a deputy."""
        group = self.of[agent]
        return agent in self.messengers[group] or agent in self.deputies[group]

    def acting(self, group: int, away: Iterable[int]) -> tuple[int, ...]:
        """Who speaks for a group while some are away: all messengers there, else the first deputy there."""
        gone = {*away}
        there = tuple(agent for agent in self.messengers[group] if agent not in gone)
        return there or tuple(agent for agent in self.deputies[group] if agent not in gone)[:1]


@lru_cache(maxsize=8)
def groups_of(network: Network, agents: int) -> Groups:
    """The groups of `[network]`, found once for all agents of a process.

    In a topology without any, each agent is a group, and speaks for itself. Raises ExperimentError where
    they do not fit so many agents.
    """
    if network.topology != "groups":
        alone = tuple((agent,) for agent in range(agents))
        return Groups(alone, alone, ((),) * agents, np.arange(agents))
    table = network.groups or GroupTable()
    for key, text in table.problems(agents):
        raise ExperimentError(f"{'.'.join(map(str, key))} {text}.")
    split = table.split(agents)
    of = np.empty(agents, np.int64)
    for number, members in enumerate(split):
        of[list(members)] = number
    speakers = [table.speakers(members) for members in split]
    return Groups(split, tuple(first for first, _ in speakers), tuple(rest for _, rest in speakers), of)


def pulls_inside(network: Network, members: Sequence[int]) -> npt.NDArray[np.float64]:
    """Who hears whom in a group [n, n], by place in `members`: 1 where i hears j, else 0."""
    return _pulls((network.groups or GroupTable()).inside, len(members))


@lru_cache(maxsize=8)
def _pulls(shape: str, members: int) -> npt.NDArray[np.float64]:
    """Of a group of so many in this shape; nobody may change it."""
    found = np.zeros((members, members))
    for source, target in _pairs(shape, range(members)):
        found[target, source] = 1.0
    found.flags.writeable = False
    return found


def links_of(network: Network, agents: int) -> tuple[Edges, Edges]:
    """The edges [n, 2] of the topology `groups`, in order, each once, and the bits of their classes [n]."""
    groups, table = groups_of(network, agents), network.groups or GroupTable()
    found: dict[tuple[int, int], int] = {}

    def add(source: int, target: int, bit: int) -> None:
        found[source, target] = found.get((source, target), 0) | bit
        if len(found) > MOST_LINKS:
            raise ExperimentError(
                f"Groups should have at most {MOST_LINKS:,} links. Found more: take smaller groups, fewer"
                ' deputies, or inside = "ring".'
            )

    speakers = [(*first, *rest) for first, rest in zip(groups.messengers, groups.deputies, strict=True)]
    for members, able in zip(groups.members, speakers, strict=True):
        for a, b in _pairs(table.inside, members):
            add(a, b, INSIDE)
        for speaker in able:
            for member in members:
                if member != speaker:
                    add(member, speaker, REPORT)
                    add(speaker, member, MESSENGER)
    for k, m in _pairs(table.between, range(len(groups))):
        for a in speakers[k]:
            for b in speakers[m]:
                add(a, b, BETWEEN)
    ordered = sorted(found)
    edges = np.array(ordered, np.int64).reshape(-1, 2)
    return edges, np.array([found[one] for one in ordered], np.int64)


def _pairs(shape: str, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Directed pairs of neighbours."""
    if len(ids) < 2:
        return []
    match shape:
        case "directed-ring":
            return [*pairwise(ids), (ids[-1], ids[0])]
        case "complete":
            both = [*combinations(ids, 2)]
        case "star":
            both = [(ids[0], other) for other in ids[1:]]
        case "line":
            both = [*pairwise(ids)]
        case _:
            both = [*pairwise(ids), (ids[-1], ids[0])]
    return [*both, *((b, a) for a, b in both)]
