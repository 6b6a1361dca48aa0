"""The named topologies of the experiment file, and the links that they become."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from itertools import combinations
from typing import TypedDict, TypeVar

import networkx as nx
import numpy as np

from mpidcl.base.files import UnreadableError, read_text
from mpidcl.errors import ExperimentError
from mpidcl.experiment.sections import MOST_AGENTS, MOST_LINKS, Network
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.randomness import EVERYBODY, numpy_generator

Edges = set[tuple[int, int]]
"""Directed edges (source, target)."""
Draw = Callable[[Network, int, int], Edges]
"""The edges that a table [network] means for so many agents, with a seed for what is drawn."""
T = TypeVar("T")


class _Settings(TypedDict):
    """What `Link` takes, but for its place."""

    classes: tuple[str, ...]
    budget: int | None
    latency: float
    bandwidth: float | None
    jitter: float
    loss: float


def build_topology(network: Network, agents: int, seed: int) -> Topology:
    """The topology that table `[network]` describes for so many agents.

    Random graphs are drawn from the experiment's seed, so every process builds the same one.
    Raises ExperimentError when the graph cannot have that many agents or the file is wrong.

    >>> from mpidcl.experiment.sections import Network
    >>> print(build_topology(Network(topology="ring", budget="96 KiB"), agents=4, seed=0).describe())
    ring: 4 agents, 8 links, connected
      0 <-> 1  <-> 3
      1 <-> 0  <-> 2
      2 <-> 1  <-> 3
      3 <-> 0  <-> 2
    """
    edges = GRAPHS[network.topology](network, agents, seed)
    _check_count(len(edges))
    ends = [(_members(rule.from_), _members(rule.to)) for rule in network.link]
    settings = cache(partial(_settings, network))
    links = []
    for number, (source, target) in enumerate(sorted(edges)):
        rules = tuple(
            rule for rule, (froms, tos) in enumerate(ends) if _in(source, froms) and _in(target, tos)
        )
        links.append(Link(number, source, target, **settings(rules)))
    return Topology(network.topology, agents, tuple(links))


def _check_count(links: int) -> None:
    if links > MOST_LINKS:
        raise ExperimentError(
            f"A network should have at most {MOST_LINKS:,} links: every process holds all of them. Found more"
            f" ({links:,} or above). Take fewer agents, or a topology with fewer neighbours."
        )


def _settings(network: Network, rules: tuple[int, ...]) -> _Settings:
    """Budget, classes and conditions of a link that these `[[network.link]]` rules cover; later ones win."""
    conditions, covering = network.conditions, [network.link[number] for number in rules]
    return {
        "classes": tuple(rule.class_ for rule in covering if rule.class_),
        "budget": _last(network.budget, [rule.budget for rule in covering]),
        "latency": _last(conditions.latency, [rule.latency for rule in covering]),
        "bandwidth": _last(conditions.bandwidth, [rule.bandwidth for rule in covering]),
        "jitter": _last(conditions.jitter, [rule.jitter for rule in covering]),
        "loss": _last(conditions.loss, [rule.loss for rule in covering]),
    }


def _last(general: T, exceptions: Sequence[T | None]) -> T:
    """The last exception that says something, else what holds in general."""
    return next((one for one in reversed(exceptions) if one is not None), general)


def _members(ids: Iterable[int] | None) -> frozenset[int] | None:
    return None if ids is None else frozenset(ids)


def _in(agent: int, members: frozenset[int] | None) -> bool:
    return members is None or agent in members


def _both_ways(edges: Iterable[Iterable[int]]) -> Edges:
    found: Edges = set()
    for a, b in edges:
        if a != b:
            found |= {(a, b), (b, a)}
    return found


def _complete(network: Network, agents: int, seed: int) -> Edges:
    _check_count(agents * (agents - 1))
    return _both_ways(combinations(range(agents), 2))


def _ring(network: Network, agents: int, seed: int) -> Edges:
    return _both_ways((a, (a + 1) % agents) for a in range(agents))


def _line(network: Network, agents: int, seed: int) -> Edges:
    return _both_ways((a, a + 1) for a in range(agents - 1))


def _star(network: Network, agents: int, seed: int) -> Edges:
    return _both_ways((0, a) for a in range(1, agents))


def _tree(network: Network, agents: int, seed: int) -> Edges:
    """A uniformly drawn labelled tree, from a random Pruefer sequence."""
    if agents < 3:
        return _line(network, agents, seed)
    sequence = numpy_generator(seed, EVERYBODY, "topology").integers(0, agents, agents - 2)
    return _both_ways(nx.from_prufer_sequence([int(a) for a in sequence]).edges)


def _erdos_renyi(network: Network, agents: int, seed: int) -> Edges:
    random = numpy_generator(seed, EVERYBODY, "topology edges")
    edges: Edges = set()
    for a in range(agents):  # one draw for each pair (a, b), a < b, in order
        others = a + 1 + np.flatnonzero(random.random(agents - a - 1) < network.probability)
        edges |= _both_ways((a, b) for b in others.tolist())
        _check_count(len(edges))
    return edges


def _random(network: Network, agents: int, seed: int) -> Edges:
    """A random spanning tree, every other edge with `probability`: always connected (as in DCL)."""
    return _tree(network, agents, seed) | _erdos_renyi(network, agents, seed)


def _small_world(network: Network, agents: int, seed: int) -> Edges:
    if network.neighbours >= agents:
        raise ExperimentError(
            f"[network] neighbours should be below the number of agents ({agents}) in a small world. "
            f"Found {network.neighbours}."
        )
    _check_count(agents * (network.neighbours - 1))
    word = int(numpy_generator(seed, EVERYBODY, "topology").integers(2**31))
    return _both_ways(nx.watts_strogatz_graph(agents, network.neighbours, network.rewire, seed=word).edges)


def _grid_shape(network: Network, agents: int) -> tuple[int, int]:
    """The given shape, or the most square one."""
    if network.shape is not None:
        rows, columns = network.shape
    else:
        rows = max(r for r in range(1, int(agents**0.5) + 1) if agents % r == 0)
        columns = agents // rows
    if rows * columns != agents:
        raise ExperimentError(
            f"[network] shape should multiply to the number of agents ({agents}). "
            f"Found {rows} x {columns} = {rows * columns}."
        )
    return rows, columns


def _lattice(periodic: bool) -> Draw:
    def edges(network: Network, agents: int, seed: int) -> Edges:
        rows, columns = _grid_shape(network, agents)
        graph = nx.grid_2d_graph(rows, columns, periodic=periodic)
        return _both_ways((a * columns + b, c * columns + d) for (a, b), (c, d) in graph.edges)

    return edges


def _hypercube(network: Network, agents: int, seed: int) -> Edges:
    dimensions = agents.bit_length() - 1
    if 2**dimensions != agents:
        raise ExperimentError(
            f"agents should be a power of two for topology 'hypercube'. Found {agents}; "
            f"the nearest are {2**dimensions} and {2 ** (dimensions + 1)}."
        )
    return _both_ways((a, a ^ (1 << bit)) for a in range(agents) for bit in range(dimensions))


def _file(network: Network, agents: int, seed: int) -> Edges:
    """One link a line: `source target` (one way) or `source - target` (both ways); # starts a comment."""
    if network.file is None:
        raise ExperimentError("[network] topology 'file' needs key `file`: the path of an edge list.")
    path = network.file
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError:
        raise ExperimentError(f"[network] file {path} could not be read: there is none.") from None
    except UnreadableError as error:
        raise ExperimentError(f"[network] file {path} could not be read: {error}.") from None
    edges: Edges = set()
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if words:
            edges |= _file_line(words, agents, f"{path}, line {number}")
            _check_count(len(edges))
    return edges


def _file_line(words: list[str], agents: int, where: str) -> Edges:
    ends = [words[0], words[-1]]
    form = len(words) == 2 or (len(words) == 3 and words[1] == "-")
    if not form or not all(_is_agent(word, agents) for word in ends):
        found = " ".join(words)
        raise ExperimentError(
            f"{where}: should be two agent numbers from 0 to {agents - 1}, 'source target' or "
            f"'source - target'. Found {found[:60]!r}."
        )
    a, b = int(ends[0]), int(ends[1])
    return _both_ways([(a, b)]) if len(words) == 3 else {(a, b)} - {(a, a)}


def _is_agent(word: str, agents: int) -> bool:
    return word.isdecimal() and len(word) <= len(str(MOST_AGENTS)) and int(word) < agents


GRAPHS: dict[str, Draw] = {
    "complete": _complete,
    "ring": _ring,
    "star": _star,
    "tree": _tree,
    "line": _line,
    "grid": _lattice(periodic=False),
    "torus": _lattice(periodic=True),
    "hypercube": _hypercube,
    "random": _random,
    "erdos-renyi": _erdos_renyi,
    "small-world": _small_world,
    "file": _file,
}
