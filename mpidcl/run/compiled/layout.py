"""Lays the numbers of all agents and links into flat arrays, where the compiled loop finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mpidcl.exchange.base import Exchange
from mpidcl.learning.linear.learner import LinearLearner
from mpidcl.network.frames.conditions import shortest_way
from mpidcl.network.schedule.ticks import Absences
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.run.agent import Agent
from mpidcl.run.compiled.choose import KNOWN
from mpidcl_kernels.base.types import Index
from mpidcl_kernels.linear.mail import AGES, EXCHANGE, LETTER, LINK, NODE, Letters, Links, Nodes, Saying

ROOM = 4
"""Letters underway of one link for which there is room at first."""


def learner_of(agent: Agent) -> LinearLearner:
    """Its learner: there are no others in this run."""
    return cast(LinearLearner, agent.learner)


def lay_nodes(agents: Sequence[Agent], absences: Sequence[Absences | None], end: float) -> Nodes:
    """All learners' numbers; from then on their arrays are parts of these."""
    learners = [learner_of(agent) for agent in agents]
    laid, hears = _laid(learners)
    changes = [np.empty(0) if one is None else one.changes_until(end) for one in absences]
    own = np.zeros(len(agents), NODE)
    speakers = np.array([learner.speaker is not None for learner in learners])
    own["speaker"] = np.where(speakers, np.cumsum(speakers) - 1, -1)
    own["hears"], own["away"] = _spans(hears), _spans([len(one) for one in changes])
    for name in ("samples", "variance", "told", "lr", "weight", "group"):
        own[name] = [getattr(learner, name) for learner in learners]
    for name in ("decay", "coupling"):
        own[name] = [getattr(learner.options, name) for learner in learners]
    return Nodes(own=own, **laid, changes=np.concatenate([np.empty(0), *changes]))


def _spans(lengths: Sequence[int]) -> Index:
    """First places, and those after the last [n, 2], of so many things of each, one after the other."""
    ends = np.cumsum(np.array(lengths, np.int64))
    return np.stack([ends - lengths, ends], 1)


SINGLE = ("w", "row", "pulls")
OF_SPEAKERS = ("means", "noises", "times")
ROWS = ("seen", "weights", "models", "variances", "heard")
"""Arrays of which each agent has one, or who may speak for a group; and those whose rows differ in number."""


def _laid(learners: Sequence[LinearLearner]) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """Arrays of all, by name, which the learners work in from now on; how many rows of `seen` each has."""
    found: dict[str, list[NDArray[Any]]] = {}
    for learner in learners:
        learner.lay(lambda name, array: _noted(found, name, array))
    size = len(learners[0].w)
    laid = {name: np.stack(found[name]) for name in SINGLE}
    nothing = {"means": np.zeros((0, 1, size)), "models": np.zeros((0, size)), "heard": np.zeros(0, np.bool_)}
    nothing |= dict.fromkeys(("noises", "times"), np.zeros((0, 1)))
    for name in OF_SPEAKERS:
        laid[name] = np.stack(found[name]) if name in found else nothing[name]
    for name in ROWS:
        laid[name] = np.concatenate(found[name]) if name in found else nothing.get(name, np.zeros(0))
    at = dict.fromkeys(laid, 0)

    def place(name: str, array: NDArray[Any]) -> NDArray[Any]:
        begin, length = at[name], len(array) if name in ROWS else 1
        at[name] += length
        part = laid[name][begin : begin + length]
        return part if name in ROWS else cast("NDArray[Any]", part[0])

    for learner in learners:
        learner.lay(place)
    return laid, [len(one) for one in found["seen"]]


def _noted(found: dict[str, list[NDArray[Any]]], name: str, array: NDArray[Any]) -> NDArray[Any]:
    found.setdefault(name, []).append(array)
    return array


def lay_links(agents: Sequence[Agent], nodes: Nodes, topology: Topology) -> tuple[Links, list[Link]]:
    """All links, as they are before the first frame, and who uses them; and the links themselves."""
    links = sorted(
        (link for agent in agents for link in topology.outgoing(agent.number).values()),
        key=lambda link: link.index,
    )
    rhythms = agents[0].meetings.rhythms
    uses = [sum(link.in_class(rule.links) << e for e, rule in enumerate(rhythms)) for link in links]
    out = [_used(topology.outgoing(agent.number), uses) for agent in agents]
    into = [_used(topology.incoming(agent.number), uses) for agent in agents]
    nodes.own["out"], nodes.own["into"] = _spans([*map(len, out)]), _spans([*map(len, into)])
    count, kinds = len(links), len(rhythms)
    lines = count + len(agents)
    found = Links(
        own=_link_numbers(agents, nodes, links),
        incoming=np.array([link for some in into for link in some], np.int64),
        outgoing=np.array([link for some in out for link in some], np.int64),
        busy=np.zeros(lines),
        began=np.zeros(lines, np.bool_),
        lost=np.empty(0, np.uint8),
        jitter=np.empty(0),
        newest=np.full((count, kinds), -1),
        aged=np.zeros((count, kinds, AGES), np.int64),
        ledger=np.zeros((count, kinds + 1, 5)),
        place=np.zeros((count, kinds), np.int64),
        breaks=np.array([time for link in links for span in link.down for time in span]),
    )
    found.own["uses"], found.own["breaks"] = uses, _spans([2 * len(link.down) for link in links])
    return found, links


def _link_numbers(agents: Sequence[Agent], nodes: Nodes, links: Sequence[Link]) -> NDArray[np.void]:
    own = np.zeros(len(links), LINK)
    learners = [learner_of(agent) for agent in agents]
    groups = learners[0].groups.of
    members = [0 if one.speaker is None else len(one.speaker.places) for one in learners]
    models, seen = _spans(members)[:, 0], nodes.own["hears"][:, 0]
    for name in ("source", "target", "latency"):
        own[name] = [getattr(link, name) for link in links]
    own["shortest"] = [shortest_way(link) for link in links]
    own["bandwidth"] = [link.bandwidth or 0.0 for link in links]
    own["line"] = [len(links) + link.source if link.shared else link.index for link in links]
    own["same"] = [groups[link.source] == groups[link.target] for link in links]
    own["has_lost"] = [link.loss > 0 for link in links]
    own["has_jitter"] = [link.jitter > 0 for link in links]
    own["hears"] = own["speaks"] = -1
    for link in links:
        learner = learners[link.target]
        if (place := learner.sources.get(link.source)) is not None:
            own["hears"][link.index] = seen[link.target] + place
        if learner.speaker is not None and (place := learner.speaker.places.get(link.source)) is not None:
            own["speaks"][link.index] = models[link.target] + place
    return own


def _used(links: Mapping[int, Link], uses: Sequence[int]) -> list[int]:
    """Those on which anything travels."""
    return [link.index for link in links.values() if uses[link.index]]


def lay_letters(links: Links, widths: Index, room: int = ROOM) -> Letters:
    """Room for `room` letters of each link; widths [L, E]: numbers of the largest row of each exchange."""
    exchanges = np.arange(widths.shape[1])
    used = np.where(links.own["uses"][:, None] >> exchanges & 1, widths, 0)
    width = used.sum(1)
    links.place[:] = np.cumsum(used, 1) - used
    links.own["width"], links.own["begin"] = width, room * (np.cumsum(width) - width)
    return Letters(np.zeros((len(width), room), LETTER), np.zeros(int(width.sum()) * room))


def with_more_room(links: Links, letters: Letters, widths: Index) -> Letters:
    """The same letters, with room for twice as many."""
    before, begins = letters.own.shape[1], links.own["begin"].copy()
    found = lay_letters(links, widths, 2 * before)
    found.own[:, :before] = letters.own
    for link in np.flatnonzero(links.own["held"]):
        length = int(links.own["held"][link] * links.own["width"][link])
        begin, old = links.own["begin"][link], begins[link]
        found.content[begin : begin + length] = letters.content[old : old + length]
    return found


def lay_saying(exchanges: Sequence[Exchange], widest: int, prefix: int) -> Saying:
    """Nothing said yet."""
    own = np.zeros(len(exchanges), EXCHANGE)
    own["kind"] = [KNOWN.index(type(one)) for one in exchanges]
    return Saying(own, np.zeros((len(exchanges), max(1, widest))), prefix)
