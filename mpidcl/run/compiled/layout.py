"""Lays the numbers of all agents and links into flat arrays, where the compiled loop finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mpidcl.learning.linear.learner import LinearLearner
from mpidcl.network.frames.conditions import shortest_way
from mpidcl.network.schedule.ticks import Absences
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.run.agent import Agent
from mpidcl.run.compiled.choose import KNOWN
from mpidcl_kernels.base.types import Doubles, Index
from mpidcl_kernels.linear.mail import AGES, Letters, Links, Nodes, Saying

ROOM = 4
"""Letters underway of one link for which there is room at first."""


def learner_of(agent: Agent) -> LinearLearner:
    """Its learner: there are no others in this run."""
    return cast(LinearLearner, agent.learner)


def lay_nodes(agents: Sequence[Agent], absences: Sequence[Absences | None], end: float) -> Nodes:
    """All learners' numbers; from then on their arrays are parts of these."""
    learners = [learner_of(agent) for agent in agents]
    laid = _laid(learners)
    speakers = [learner.speaker is not None for learner in learners]
    places = np.where(speakers, np.cumsum(speakers) - 1, -1)
    moments = [np.empty(0) if one is None else one.changes_until(end) for one in absences]
    return Nodes(
        **laid,
        samples=np.array([one.samples for one in learners]),
        variance=np.array([one.variance for one in learners]),
        lr=np.array([one.lr for one in learners]),
        decay=np.array([float(one.options.decay) for one in learners]),
        coupling=np.array([float(one.options.coupling) for one in learners]),
        weight=np.array([one.weight for one in learners]),
        told=np.array([one.told for one in learners]),
        speaker=places,
        group=np.array([one.group for one in learners]),
        changes=np.cumsum([0, *map(len, moments)]),
        moments=np.concatenate([np.empty(0), *moments]),
    )


SINGLE = ("w", "row", "pulls")
"""Arrays of which each agent has one; those of speakers alone; and rows, whose number differs."""
OF_SPEAKERS = ("means", "noises", "times")
ROWS = {"hears": ("seen", "weights"), "members": ("models", "variances", "heard")}


def _laid(learners: Sequence[LinearLearner]) -> dict[str, NDArray[Any]]:
    found: dict[str, list[NDArray[Any]]] = {}
    for learner in learners:
        learner.lay(lambda name, array: _noted(found, name, array))
    size = len(learners[0].w)
    laid = {name: np.stack(found[name]) for name in SINGLE}
    empty = {"means": (0, 1, size), "noises": (0, 1), "times": (0, 1)}
    for name in OF_SPEAKERS:
        laid[name] = np.stack(found[name]) if found.get(name) else np.zeros(empty[name])
    shapes = {"seen": (0, size), "models": (0, size), "heard": (0,)}
    for starts, names in ROWS.items():
        for name in names:
            dtype = np.bool_ if name == "heard" else np.float64
            laid[name] = np.concatenate([np.empty(shapes.get(name, (0,)), dtype), *found.get(name, [])])
        has = [starts == "hears" or learner.speaker is not None for learner in learners]
        lengths = iter([len(one) for one in found.get(names[0], [])])
        laid[starts] = np.cumsum([0, *(next(lengths) if there else 0 for there in has)])
    at = dict.fromkeys((*SINGLE, *OF_SPEAKERS, *(name for names in ROWS.values() for name in names)), 0)

    def place(name: str, array: NDArray[Any]) -> NDArray[Any]:
        whole, begin = laid[name], at[name]
        if name in (*SINGLE, *OF_SPEAKERS):
            at[name] += 1
            return cast("NDArray[Any]", whole[begin])
        at[name] += len(array)
        return whole[begin : begin + len(array)]

    for learner in learners:
        learner.lay(place)
    return laid


def _noted(found: dict[str, list[NDArray[Any]]], name: str, array: NDArray[Any]) -> NDArray[Any]:
    found.setdefault(name, []).append(array)
    return array


def lay_links(agents: Sequence[Agent], topology: Topology) -> tuple[Links, list[Link]]:
    """All links, as they are before the first frame; and the links themselves, in order of their index."""
    links = sorted(
        (link for agent in agents for link in topology.outgoing(agent.number).values()),
        key=lambda link: link.index,
    )
    rhythms, exchanges = agents[0].meetings.rhythms, agents[0].meetings.exchanges
    count, kinds = len(links), [KNOWN.index(type(one)) for one in exchanges]
    lines = count + len(agents)
    uses = [[link.in_class(rule.links) for rule in rhythms] for link in links]
    out = [_used(topology.outgoing(agent.number), uses) for agent in agents]
    into = [_used(topology.incoming(agent.number), uses) for agent in agents]
    learners = [learner_of(agent) for agent in agents]
    groups = learners[0].groups.of
    hears, speaks = _places(learners, links)
    found = Links(
        kinds=np.array(kinds, np.int64),
        source=np.array([link.source for link in links], np.int64),
        target=np.array([link.target for link in links], np.int64),
        into=np.cumsum([0, *map(len, into)]),
        incoming=np.array([link for some in into for link in some], np.int64),
        out=np.cumsum([0, *map(len, out)]),
        outgoing=np.array([link for some in out for link in some], np.int64),
        uses=np.array([sum(1 << e for e, used in enumerate(some) if used) for some in uses], np.int64),
        latency=np.array([float(link.latency) for link in links]),
        bandwidth=np.array([float(link.bandwidth or 0.0) for link in links]),
        shortest=np.array([float(shortest_way(link)) for link in links]),
        line=np.array([count + link.source if link.shared else link.index for link in links], np.int64),
        hears=hears,
        speaks=speaks,
        same=np.array([groups[link.source] == groups[link.target] for link in links], np.bool_),
        sent=np.zeros(count, np.int64),
        said=np.zeros(count, np.int64),
        busy=np.zeros(lines),
        began=np.zeros(lines, np.bool_),
        has_lost=np.array([link.loss > 0 for link in links], np.bool_),
        lost=np.empty(0, np.uint8),
        first_lost=np.zeros(count, np.int64),
        has_jitter=np.array([link.jitter > 0 for link in links], np.bool_),
        jitter=np.empty(0),
        first_jitter=np.zeros(count, np.int64),
        came=np.zeros((count, 5), np.int64),
        age=np.zeros(count),
        newest=np.full((count, len(kinds)), -1),
        aged=np.zeros((count, len(kinds), AGES), np.int64),
        ledger=np.zeros((count, len(kinds) + 1, 5)),
    )
    return found, links


def _used(links: Mapping[int, Link], uses: Sequence[Sequence[bool]]) -> list[int]:
    """Those on which anything travels."""
    return [link.index for link in links.values() if any(uses[link.index])]


def _places(learners: Sequence[LinearLearner], links: Sequence[Link]) -> tuple[Index, Index]:
    """Rows of `seen` and of `models` to which the models of each link go."""
    hears, speaks = np.full(len(links), -1), np.full(len(links), -1)
    seen = np.cumsum([0, *(len(one.sources) for one in learners)])
    members = [0 if one.speaker is None else len(one.speaker.places) for one in learners]
    models = np.cumsum([0, *members])
    for link in links:
        learner = learners[link.target]
        if (place := learner.sources.get(link.source)) is not None:
            hears[link.index] = seen[link.target] + place
        if learner.speaker is not None and (place := learner.speaker.places.get(link.source)) is not None:
            speaks[link.index] = models[link.target] + place
    return hears, speaks


def used_by(links: Links) -> NDArray[np.bool_]:
    """Which exchanges [L, E] travel on which links."""
    found: NDArray[np.bool_] = (links.uses[:, None] >> np.arange(len(links.kinds)) & 1).astype(np.bool_)
    return found


def lay_letters(links: Links, widths: Index, room: int = ROOM) -> Letters:
    """Room for `room` letters of each link; widths [L, E]: numbers of the largest row of each exchange."""
    count = len(links.source)
    used = np.where(used_by(links), widths, 0)
    width = used.sum(1)
    return Letters(
        at=np.empty((count, room)),
        left=np.empty((count, room)),
        number=np.empty((count, room), np.int64),
        mask=np.zeros((count, room), np.int64),
        held=np.zeros(count, np.int64),
        content=np.zeros(int(width.sum()) * room),
        begin=room * (np.cumsum(width) - width),
        width=width,
        place=np.cumsum(used, 1) - used,
    )


def with_more_room(links: Links, letters: Letters, widths: Index) -> Letters:
    """The same letters, with room for twice as many."""
    before = letters.at.shape[1]
    found = lay_letters(links, widths, 2 * before)
    for name in ("at", "left", "number", "mask"):
        getattr(found, name)[:, :before] = getattr(letters, name)
    found.held[:] = letters.held
    for link in np.flatnonzero(letters.held):
        length = int(letters.held[link] * letters.width[link])
        begin, old = found.begin[link], letters.begin[link]
        found.content[begin : begin + length] = letters.content[old : old + length]
    return found


def lay_saying(kinds: int, widest: int, prefix: int) -> Saying:
    """Nothing said yet."""
    none = np.zeros(kinds, np.int64)
    rows: Doubles = np.zeros((kinds, max(1, widest)))
    return Saying(rows, none.copy(), none.copy(), none.copy(), none.copy(), prefix)
