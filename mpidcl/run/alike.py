"""Which agents and links of a network are alike, so that `check` builds some of each kind and not all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.stream.stream import Stream

Sort = tuple[object, ...]
"""What two links have in common whose checks come out the same."""


@dataclass(frozen=True)
class Crowd:
    """All agents of an experiment, by number: streams, ticks per task (equal ones are one object), and kind.

    Agents of one kind have the same tables and the same shape of rows: one of them stands for all. `links`
    are the links of each sort, which have ends of the same kinds, the same budget, and the same way back.
    """

    experiments: list[Experiment]
    streams: list[Stream]
    ticks: list[tuple[int, ...]]
    kinds: list[int]
    links: dict[Sort, list[Link]]

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
        links: dict[Sort, list[Link]] = {}
        for link in topology.links:
            links.setdefault(_sort(link, topology, of_agent), []).append(link)
        return cls(experiments, streams, ticks, of_agent, links)

    @property
    def chosen(self) -> list[int]:
        """Agents to build: the first of each kind, and the ends of the first link of each sort."""
        ends = [end for links in self.links.values() for end in (links[0].source, links[0].target)]
        return sorted({*(self.kinds.index(kind) for kind in set(self.kinds)), *ends})


def _stream(experiment: Experiment, number: int) -> Stream:
    stream: Stream = kinds.resolve("stream", experiment.stream.kind)(experiment, number)
    return stream


def _sort(link: Link, topology: Topology, of_agent: Sequence[int]) -> Sort:
    back = topology.outgoing[link.target].get(link.source)
    ends = of_agent[link.source], of_agent[link.target]
    return (*ends, link.budget, link.classes, None if back is None else back.classes)
