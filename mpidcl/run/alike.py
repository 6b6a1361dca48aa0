"""Which agents and links of a network are alike, so that `check` builds some of each kind and not all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.stream.stream import Stream


class Links(NamedTuple):
    """Links whose checks come out the same: the first of them, and how many they are."""

    first: Link
    number: int


@dataclass(frozen=True)
class Crowd:
    """All agents of an experiment, by number: streams, ticks per task (equal ones are one object), and kind.

    Agents of one kind have the same tables and the same shape of rows: one of them stands for all. `links`
    of one sort have ends of the same kinds, the same budget and classes, and the same way back.
    """

    experiments: list[Experiment]
    streams: list[Stream]
    ticks: list[tuple[int, ...]]
    kinds: list[int]
    links: list[Links]

    @classmethod
    def of(cls, experiment: Experiment, topology: Topology) -> Crowd:
        """Streams are made for everybody: they are cheap, and an own one may differ from agent to agent."""
        found: dict[int, Experiment] = {}
        for alike in experiment.alike():
            found |= dict.fromkeys(alike, experiment.for_agent(alike[0]))
        experiments = [found[number] for number in range(experiment.agents)]
        streams = [_stream(mine, number) for number, mine in enumerate(experiments)]
        rows: dict[tuple[int, ...], tuple[int, ...]] = {}
        ticks = [rows.setdefault(row, row) for row in (tuple(stream.ticks) for stream in streams)]
        known: dict[tuple[int, str], int] = {}
        keys = [(id(mine), repr(stream.shape)) for mine, stream in zip(experiments, streams, strict=True)]
        of_agent = [known.setdefault(key, len(known)) for key in keys]
        return cls(experiments, streams, ticks, of_agent, _sorted(topology, of_agent))

    def by_conditions(self, topology: Topology) -> list[Links]:
        """Links like `links`, told apart by the conditions of the network, too; not by when they are down."""
        return _sorted(topology, self.kinds, whole=True)

    def like(self, agent: int) -> int:
        """The agent that stands for one, one of those `chosen`."""
        return self.kinds.index(self.kinds[agent])

    @property
    def chosen(self) -> list[int]:
        """Agents to build: the first of each kind, and the ends of the first link of each sort."""
        ends = [end for one in self.links for end in (one.first.source, one.first.target)]
        return sorted({*(self.kinds.index(kind) for kind in set(self.kinds)), *ends})


def _stream(experiment: Experiment, number: int) -> Stream:
    stream: Stream = kinds.resolve("stream", experiment.stream.kind)(experiment, number)
    return stream


def _sorted(topology: Topology, of_agent: Sequence[int], whole: bool = False) -> list[Links]:
    """The links of each sort, in order of their first ones; none of the others is made.

    `whole`: links of one sort have the same in all settings but times in which they are down.
    """
    each = topology.settings
    limits = _numbered(one._replace(down=()) if whole else (one.budget, one.classes) for one in each)
    classes = _numbered(one.classes for one in topology.settings)
    ends, back = np.asarray(of_agent, np.int64)[topology.edges], topology.back
    way_back = np.where(back < 0, -1, classes[topology.sort[back]]) if len(back) else back
    code = np.zeros(len(back), np.int64)
    for part in (ends[:, 0], ends[:, 1], limits[topology.sort], way_back):
        # numbered anew each time, so that no number grows beyond links x values
        code = np.unique(code * (part.max(initial=0) + 2) + part + 1, return_inverse=True)[1]
    _, first, count = np.unique(code, return_index=True, return_counts=True)
    order = np.argsort(first)
    return [Links(topology.at(int(first[one])), int(count[one])) for one in order]


def _numbered(values: Iterable[object]) -> npt.NDArray[np.int64]:
    """A number for each value, equal ones the same."""
    known: dict[object, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)
