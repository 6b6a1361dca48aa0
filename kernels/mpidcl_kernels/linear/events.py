"""What a run of linear models is given: ticks, neighbours, the relation between groups. And its checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, cast

import numpy as np

from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Array, ArrayT, Floats, Given, Index, View

FLOAT64 = np.dtype(np.float64)

START = -1
"""In `Events.seen`: the model that the neighbour had before the first event."""


@dataclass(frozen=True)
class Events(Generic[ArrayT]):
    """Ticks in order: node `nodes[e]` learns from `x[e]`, `y[e]` with the step `alpha` or `alpha[e]`.

    nodes `[E]` int, x `[E, d]`, y `[E]`. `seen [E, m]` int, m the largest number of neighbours: for each
    neighbour, in the order of `Neighbours.sources`, the earlier event of that neighbour whose model is seen,
    or `START`; places beyond the node's neighbours are not read. None: all see the newest.
    """

    nodes: ArrayT
    x: ArrayT
    y: ArrayT
    alpha: float | ArrayT
    seen: ArrayT | None = None

    def rates(self: Events[View]) -> Floats:
        """`alpha` for each event."""
        return np.broadcast_to(self.alpha, (len(self.nodes),))


@dataclass(frozen=True)
class Neighbours(Generic[ArrayT]):
    """From whom nodes receive: node i from `sources[starts[i]:starts[i + 1]]`, with these `weights` a_ij.

    starts `[N + 1]` int, sources and weights `[M]`; `pull` is lam_L. The edge j -> i is a source j of i.
    """

    starts: ArrayT
    sources: ArrayT
    weights: ArrayT
    pull: float

    @staticmethod
    def none(nodes: int) -> Neighbours[View]:
        """Nobody hears anybody."""
        return Neighbours(np.zeros(nodes + 1, np.int64), np.zeros(0, np.int64), np.zeros(0), 0.0)

    @staticmethod
    def from_matrix(adjacency: Floats, pull: float) -> Neighbours[View]:
        """From a_ij `[N, N]`: the weight that i gives to what it receives from j.

        >>> Neighbours.from_matrix(np.array([[0.0, 2.0], [0.0, 0.0]]), 1.0).sources
        array([1])
        """
        receivers, sources = np.nonzero(adjacency)
        starts = np.searchsorted(receivers, np.arange(len(adjacency) + 1))
        return Neighbours(starts, sources, adjacency[receivers, sources].astype(np.float64), pull)


@dataclass(frozen=True)
class Relation(Generic[ArrayT]):
    """How groups pull each other: theta `[K, K]`, group means by rows `[K, d]`, the group of each node `[N]`.

    `pull` is lam_G. `own`: for its own group a node takes its own model in place of the mean.
    """

    theta: ArrayT
    means: ArrayT
    groups: ArrayT
    pull: float
    own: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Checked arguments of the loop: indices int64 on the host, floats where the caller has them."""

    w: View
    nodes: Index
    x: View
    y: View
    alpha: View
    starts: Index
    rows: Index
    weights: View
    stride: int
    lam_local: float
    groups: Index
    own: Index
    theta: View
    means: View
    lam_global: float
    target: View
    every: int

    @property
    def records(self) -> int:
        """How many rows of errors are recorded."""
        return len(self.nodes) // self.every if len(self.target) else 0


def named(
    events: Events[ArrayT], neighbours: Neighbours[ArrayT] | None, relation: Relation[ArrayT] | None
) -> dict[str, ArrayT | None]:
    """All arrays of the arguments, by name."""
    parts: list[tuple[object, tuple[str, ...]]] = [
        (events, ("nodes", "x", "y", "seen")),
        (neighbours, ("starts", "sources", "weights")),
        (relation, ("groups", "theta", "means")),
    ]
    found = {name: None if part is None else getattr(part, name) for part, names in parts for name in names}
    return found | {"alpha": None if np.isscalar(events.alpha) else events.alpha}


def prepare(
    a: dict[str, Given],
    alpha: float | ArrayT,
    neighbours: Neighbours[ArrayT] | None,
    relation: Relation[ArrayT] | None,
    every: int,
    host: Callable[[View], View],
) -> Job:
    """Check everything that the loop does not: it would read and write outside its arrays."""
    nodes_count, size = model_shape(a["w"])
    events = len(a["nodes"])
    nodes = indices(host(a["nodes"]), "nodes", (events,), 0, nodes_count - 1)
    floats(a["x"], "x", (events, size))
    floats(a["y"], "y", (events,))
    if every < 1:
        raise bad("every", "at least 1", every)
    if a["target"] is not None:
        floats(a["target"], "target", (nodes_count, size))
    steps = _steps(a["alpha"], alpha, events, host)
    starts, sources, weights = _neighbours(a, nodes_count, host)
    rows, stride = sources, 0
    if a["seen"] is not None:
        rows, stride = _versions(host(a["seen"]), nodes, starts, sources)
    groups, own, theta, means = _relation(a, nodes_count, size, relation is not None and relation.own, host)
    target = np.zeros((0, size)) if a["target"] is None else a["target"]
    pulls = (
        pull("neighbours.pull", 0.0 if neighbours is None else neighbours.pull),
        pull("relation.pull", 0.0 if relation is None else relation.pull),
    )
    local = (starts, rows, weights, stride, pulls[0])
    across = (groups, own, theta, means, pulls[1])
    return Job(a["w"], nodes, a["x"], a["y"], steps, *local, *across, target, every)


def model_shape(w: View) -> tuple[int, int]:
    """(N, d) of models that are changed in place."""
    if w.ndim != 2:
        raise bad("w", "[N, d]", f"shape {list(w.shape)}")
    in_place(w)
    nodes, size = w.shape
    return nodes, size


def in_place(w: View) -> None:
    """Raise for models that the loop cannot change."""
    if w.dtype.char != "d" or not w.dtype.isnative:
        raise bad_type("w", "float64, because it is changed in place", w.dtype)
    if isinstance(w, np.ndarray) and not w.flags.writeable:
        raise bad("w", "writeable", "a read-only array")


def floats(array: View, name: str, shape: tuple[int, ...]) -> None:
    """Raise for what is no float32 or float64 array of this shape."""
    kind = array.dtype
    if kind is not FLOAT64 and (kind.char not in "fd" or not kind.isnative):
        raise bad_type(name, "float32 or float64", kind)
    if array.shape != shape:
        raise bad(name, f"of shape {list(shape)}", list(array.shape))


def indices(array: View, name: str, shape: tuple[int, ...], least: int, most: int) -> Index:
    """An int64 copy of whole numbers in [least, most]."""
    if array.dtype.kind not in "iu":
        raise bad_type(name, "whole numbers", array.dtype)
    if array.shape != shape:
        raise bad(name, f"of shape {list(shape)}", list(array.shape))
    outside = array[(array < least) | (array > most)]
    if outside.size:
        raise bad(name, f"between {least} and {most}", outside[0])
    return np.array(array, np.int64)


def pull(name: str, value: float) -> float:
    """A weight of a term: finite and not negative."""
    if not 0.0 <= value < np.inf:
        raise bad(name, "non-negative and finite", value)
    return float(value)


def _steps(array: View | None, alpha: float | Array, events: int, host: Callable[[View], View]) -> View:
    if array is None:
        return np.full(events, pull("alpha", cast("float", alpha)))
    floats(array, "alpha", (events,))
    if events:
        pull("alpha", float(host(array).min()))
        pull("alpha", float(host(array).max()))
    return array


def _neighbours(a: dict[str, Given], nodes: int, host: Callable[[View], View]) -> tuple[Index, Index, View]:
    if a["starts"] is None:
        none = Neighbours.none(nodes)
        return none.starts, none.sources, none.weights
    count = len(a["sources"])
    starts = indices(host(a["starts"]), "neighbours.starts", (nodes + 1,), 0, count)
    if starts[0] or starts[-1] != count or (np.diff(starts) < 0).any():
        raise bad("neighbours.starts", f"rising from 0 to the {count} sources", starts.tolist())
    sources = indices(host(a["sources"]), "neighbours.sources", (count,), 0, nodes - 1)
    floats(a["weights"], "neighbours.weights", (count,))
    if count:
        pull("neighbours.weights", float(host(a["weights"]).min()))
    return starts, sources, a["weights"]


def _versions(seen: View, nodes: Index, starts: Index, sources: Index) -> tuple[Index, int]:
    """Row of each model that is seen: of the start models [N] followed by what each event left [E]."""
    events, most = len(nodes), int(np.diff(starts).max(initial=0))
    told = indices(seen, "seen", (events, most), START, max(events - 1, START))
    place = np.arange(most)
    used = place < (starts[nodes + 1] - starts[nodes])[:, None]
    whom = np.zeros_like(told)
    whom[used] = sources[(starts[nodes][:, None] + place)[used]]
    early = told < np.arange(events)[:, None]
    if (used & ~early).any():
        raise bad(
            "seen", "earlier events", f"event {told[used & ~early][0]}, not before the tick that sees it"
        )
    wrong = used & (told != START) & (nodes[np.maximum(told, 0)] != whom) if events else used
    if wrong.any():
        raise bad(
            "seen", "events of the neighbour", f"event {told[wrong][0]} of node {nodes[told[wrong][0]]}"
        )
    return np.where(told == START, whom, told + len(starts) - 1).reshape(-1), most


def _relation(
    a: dict[str, Given], nodes: int, size: int, own: bool, host: Callable[[View], View]
) -> tuple[Index, Index, View, View]:
    if a["theta"] is None:
        return np.zeros(nodes, np.int64), np.full(1, -1), np.zeros((1, 0)), np.zeros((0, size))
    tasks = len(a["theta"])
    floats(a["theta"], "relation.theta", (tasks, tasks))
    floats(a["means"], "relation.means", (tasks, size))
    groups = indices(host(a["groups"]), "relation.groups", (nodes,), 0, tasks - 1)
    return groups, np.arange(tasks) if own else np.full(tasks, -1), a["theta"], a["means"]
