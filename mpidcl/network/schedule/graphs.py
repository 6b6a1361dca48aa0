"""The named topologies of the experiment file, and the links that they become."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidcl.errors import ExperimentError
from mpidcl.experiment.group_table import CLASSES, TELLING
from mpidcl.experiment.network_table import MOST_LINKS, Network, burst_problem
from mpidcl.network.schedule.groups import links_of
from mpidcl.network.schedule.link_files import Told, is_agent, read_changes, read_conditions, text_of
from mpidcl.network.schedule.topology import Settings, Spans, Topology, disjoint
from mpidcl.randomness import EVERYBODY, numpy_generator

Edges = npt.NDArray[np.int64]
"""Directed edges [n, 2] of (source, target), in order, each once."""
Draw = Callable[[Network, int, int], Edges]
"""The edges that a table [network] means for so many agents, with a seed for what is drawn."""
T = TypeVar("T")


def build_topology(network: Network, agents: int, seed: int) -> Topology:
    """The topology that table `[network]` describes for so many agents.

    Random graphs are drawn from the experiment's seed, so every process builds the same one.
    Raises ExperimentError when the graph cannot have that many agents or the file is wrong.

    >>> from mpidcl.experiment.network_table import Network
    >>> print(build_topology(Network(topology="ring", budget="96 KiB"), agents=4, seed=0).describe())
    ring: 4 agents, 8 links, connected
      0 <-> 1  <-> 3
      1 <-> 0  <-> 2
      2 <-> 1  <-> 3
      3 <-> 0  <-> 2
    """
    changes = read_changes(network.changes, agents) if network.changes is not None else {}
    if network.topology == "groups":
        edges, bits = links_of(network, agents)
    else:
        graph = np.array([*changes], np.int64) if changes else GRAPHS[network.topology](network, agents, seed)
        edges, bits = graph, np.zeros(len(graph), np.int64)
    _check_count(len(edges))
    settings, sort = _sorts(network, edges, bits, agents)
    if changes:
        settings, sort = _changing(settings, sort, [*changes.values()])
    if network.conditions.file is not None:
        told = read_conditions(network.conditions.file, agents)
        settings, sort = _conditioned(told, edges @ (agents, 1), agents, settings, sort)
    return Topology(network.topology, agents, edges, settings, sort)


def _sorts(network: Network, edges: Edges, bits: Edges, agents: int) -> tuple[list[Settings], Edges]:
    """The settings that occur, and which of them each link has, by the `[[network.link]]` that cover it.

    bits [n]: the classes that links have by their topology, as bits.
    """
    kinds, sort = np.unique(bits, return_inverse=True)
    rules: list[tuple[int, tuple[int, ...]]] = [(int(one), ()) for one in kinds]
    for number, rule in enumerate(network.link):
        covered = _members(rule.from_, agents)[edges[:, 0]] & _members(rule.to, agents)[edges[:, 1]]
        if network.topology == "groups" and rule.class_ in CLASSES:
            covered &= (bits >> CLASSES.index(rule.class_) & 1).astype(np.bool_)
        before, place = np.unique(sort[covered], return_inverse=True)
        sort[covered] = len(rules) + place
        rules += [(rules[one][0], (*rules[one][1], number)) for one in before]
    used, sort = np.unique(sort, return_inverse=True)
    return [_settings(network, *rules[one]) for one in used], sort


def _changing(
    settings: Sequence[Settings], sort: Edges, down: Sequence[Spans]
) -> tuple[list[Settings], Edges]:
    """The same where link n is also not there at the times `down` [n]."""
    pairs = zip(sort.tolist(), down, strict=True)
    return _told_apart(settings[one]._replace(down=disjoint(settings[one].down, gone)) for one, gone in pairs)


def _conditioned(
    told: Sequence[Told], codes: Edges, agents: int, settings: Sequence[Settings], sort: Edges
) -> tuple[list[Settings], Edges]:
    """The same with what a file tells of some links; `codes` [n], in order: source * agents + target."""
    each = [settings[one] for one in sort.tolist()]
    for one in told:
        code = one.source * agents + one.target
        place = int(np.searchsorted(codes, code))
        if place == len(codes) or codes[place] != code:
            raise ExperimentError(
                f"{one.where}: should be about a link of the topology. Found {one.source} -> {one.target}."
            )
        each[place] = each[place]._replace(**one.values)
        if wrong := burst_problem(each[place].loss, each[place].burst):
            raise ExperimentError(f"{one.where}: `burst` {wrong}.")
    return _told_apart(each)


def _told_apart(each: Iterable[Settings]) -> tuple[list[Settings], Edges]:
    """The settings that occur, and which of them each link has, from those of each link."""
    known: dict[Settings, int] = {}
    sort = np.array([known.setdefault(one, len(known)) for one in each], np.int64)
    return [*known], sort


def _members(ids: Iterable[int] | None, agents: int) -> npt.NDArray[np.bool_]:
    """Which agents are named; None: all."""
    found = np.full(agents, ids is None)
    found[[*(ids or ())]] = True
    return found


def _check_count(links: int) -> None:
    if links > MOST_LINKS:
        raise ExperimentError(
            f"A network should have at most {MOST_LINKS:,} links: every process holds the ends of all."
            f" Found more ({links:,} or above). Take fewer agents, or a topology with fewer neighbours."
        )


def _settings(network: Network, bits: int, rules: tuple[int, ...]) -> Settings:
    """Budget, classes and conditions of a link that these `[[network.link]]` rules cover; later ones win."""
    conditions, covering = network.conditions, [network.link[number] for number in rules]
    own = [name for place, name in enumerate(CLASSES) if bits >> place & 1]
    own += [TELLING] if {"inside", "report"} & {*own} else []
    return Settings(
        classes=tuple(dict.fromkeys([*own, *(rule.class_ for rule in covering if rule.class_)])),
        budget=_last(network.budget, [rule.budget for rule in covering]),
        latency=_last(conditions.latency, [rule.latency for rule in covering]),
        bandwidth=_last(conditions.bandwidth, [rule.bandwidth for rule in covering]),
        jitter=_last(conditions.jitter, [rule.jitter for rule in covering]),
        burst=_last(conditions.burst, [rule.burst for rule in covering]),
        shared=conditions.line == "agent",
        loss=_last(conditions.loss, [rule.loss for rule in covering]),
        down=disjoint(_last((), [rule.down for rule in covering])),
    )


def _last(general: T, exceptions: Sequence[T | None]) -> T:
    """The last exception that says something, else what holds in general."""
    return next((one for one in reversed(exceptions) if one is not None), general)


def _both_ways(pairs: Iterable[Iterable[int]] | Edges, agents: int) -> Edges:
    """Links in both directions between the ends of these pairs, none to oneself."""
    ends = pairs if isinstance(pairs, np.ndarray) else np.array([*pairs], np.int64).reshape(-1, 2)
    return _ordered(np.concatenate([ends, ends[:, ::-1]]), agents)


def _ordered(edges: Edges, agents: int) -> Edges:
    sources, targets = edges[edges[:, 0] != edges[:, 1]].T
    codes = np.sort(sources * agents + targets)
    codes = codes[np.diff(codes, prepend=-1) > 0]
    return np.stack(np.divmod(codes, agents), axis=1)


def _complete(network: Network, agents: int, seed: int) -> Edges:
    _check_count(agents * (agents - 1))
    return _both_ways(np.stack(np.triu_indices(agents, 1), axis=1), agents)


def _ring(network: Network, agents: int, seed: int) -> Edges:
    return _both_ways(((a, (a + 1) % agents) for a in range(agents)), agents)


def _line(network: Network, agents: int, seed: int) -> Edges:
    return _both_ways(((a, a + 1) for a in range(agents - 1)), agents)


def _star(network: Network, agents: int, seed: int) -> Edges:
    return _both_ways(((0, a) for a in range(1, agents)), agents)


def _tree(network: Network, agents: int, seed: int) -> Edges:
    """A uniformly drawn labelled tree, from a random Pruefer sequence."""
    if agents < 3:
        return _line(network, agents, seed)
    sequence = numpy_generator(seed, EVERYBODY, "topology").integers(0, agents, agents - 2)
    return _both_ways(nx.from_prufer_sequence([int(a) for a in sequence]).edges, agents)


def _erdos_renyi(network: Network, agents: int, seed: int) -> Edges:
    random = numpy_generator(seed, EVERYBODY, "topology edges")
    pairs, count = [np.empty((0, 2), np.int64)], 0
    for a in range(agents):  # one draw for each pair (a, b), a < b, in order
        others = a + 1 + np.flatnonzero(random.random(agents - a - 1) < network.probability)
        pairs.append(np.stack([np.full(len(others), a), others], axis=1))
        _check_count(count := count + 2 * len(others))
    return _both_ways(np.concatenate(pairs), agents)


def _random(network: Network, agents: int, seed: int) -> Edges:
    """A random spanning tree, every other edge with `probability`: always connected (as in DCL)."""
    both = [_tree(network, agents, seed), _erdos_renyi(network, agents, seed)]
    return _ordered(np.concatenate(both), agents)


def _small_world(network: Network, agents: int, seed: int) -> Edges:
    if network.neighbours >= agents:
        raise ExperimentError(
            f"[network] neighbours should be below the number of agents ({agents}) in a small world. "
            f"Found {network.neighbours}."
        )
    _check_count(agents * (network.neighbours - 1))
    word = int(numpy_generator(seed, EVERYBODY, "topology").integers(2**31))
    graph = nx.watts_strogatz_graph(agents, network.neighbours, network.rewire, seed=word)
    return _both_ways(graph.edges, agents)


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
        return _both_ways(((a * columns + b, c * columns + d) for (a, b), (c, d) in graph.edges), agents)

    return edges


def _hypercube(network: Network, agents: int, seed: int) -> Edges:
    dimensions = agents.bit_length() - 1
    if 2**dimensions != agents:
        raise ExperimentError(
            f"agents should be a power of two for topology 'hypercube'. Found {agents}; "
            f"the nearest are {2**dimensions} and {2 ** (dimensions + 1)}."
        )
    return _both_ways(((a, a ^ (1 << bit)) for a in range(agents) for bit in range(dimensions)), agents)


def _file(network: Network, agents: int, seed: int) -> Edges:
    """One link a line: `source target` (one way) or `source - target` (both ways); # starts a comment."""
    if network.file is None:
        raise ExperimentError("[network] topology 'file' needs key `file`: the path of an edge list.")
    path = network.file
    lines = text_of("file", path).splitlines()
    edges: set[tuple[int, int]] = set()
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if words:
            edges |= _file_line(words, agents, f"{path}, line {number}")
            _check_count(len(edges))
    return _ordered(np.array([*edges], np.int64).reshape(-1, 2), agents)


def _file_line(words: list[str], agents: int, where: str) -> set[tuple[int, int]]:
    ends = [words[0], words[-1]]
    form = len(words) == 2 or (len(words) == 3 and words[1] == "-")
    if not form or not all(is_agent(word, agents) for word in ends):
        found = " ".join(words)
        raise ExperimentError(
            f"{where}: should be two agent numbers from 0 to {agents - 1}, 'source target' or "
            f"'source - target'. Found {found[:60]!r}."
        )
    a, b = int(ends[0]), int(ends[1])
    return ({(a, b), (b, a)} if len(words) == 3 else {(a, b)}) - {(a, a)}


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
