"""Linear models that learn sample by sample, pulled by neighbours and by related tasks.

    g_i = -x (y - x'w_i) + lam_L sum_j a_ij (w_i - w_j) + lam_G sum_l Theta_kl wbar_l
    w_i <- w_i - alpha g_i

The inner update of DAMTL as reconstructed (after Hong and Garcia, arXiv 2410.03403).
`linear_step` is one such tick on the copies that a node holds; `run_events` is a given list of ticks over
many nodes of one process, compiled, with the bits of a loop over `linear_step`. Between two outer steps Theta
and the means stay as they are: give the events between them. Everything is float64.
"""

from __future__ import annotations

import functools
from typing import overload

import numpy as np

from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.base.types import Array, ArrayT, Doubles, Floats, Index, View
from mpidcl_kernels.linear import loops
from mpidcl_kernels.linear.events import (
    START,
    Events,
    Job,
    Neighbours,
    Relation,
    floats,
    in_place,
    named,
    prepare,
    pull,
)

__all__ = [
    "START",
    "Events",
    "Neighbours",
    "Relation",
    "linear_step",
    "linear_step_definition",
    "run_events",
    "run_events_definition",
    "warm",
]


FIRST, NOBODY = np.zeros(1, np.int64), np.full(1, -1, np.int64)
NOTHING = np.empty((0, 1))
"""Small arguments of the loop, which only reads them; made once, because a tick takes a microsecond."""


# --- definitions ------------------------------------------------------------------------------------


def linear_step_definition(
    w: Floats,
    x: Floats,
    y: float,
    neighbours: Floats,
    weights: Floats,
    lam_local: float,
    theta_row: Floats,
    means: Floats,
    lam_global: float,
    alpha: float,
    group: int | None = None,
) -> Floats:
    """w after one tick; arguments as in `linear_step`.

    >>> x, nobody, nothing = np.array([1.0, 2.0]), np.zeros((0, 2)), np.zeros(0)
    >>> linear_step_definition(np.zeros(2), x, 3.0, nobody, nothing, 1.0, nothing, nobody, 1.0, 0.1)
    array([0.3, 0.6])
    """
    fresh = means.astype(np.float64)
    if group is not None:
        fresh[group] = w
    slope = -x * (y - x @ w) + lam_local * (weights @ (w - neighbours)) + lam_global * (theta_row @ fresh)
    return w - alpha * slope


def run_events_definition(
    w: Floats,
    events: Events[View],
    neighbours: Neighbours[View] | None = None,
    relation: Relation[View] | None = None,
    target: Floats | None = None,
    every: int = 1,
) -> tuple[Floats, Floats]:
    """(w after all events, errors): a loop over `linear_step_definition`."""
    start, w = w.copy(), w.astype(np.float64)
    errors: list[Floats] = []
    versions: list[Floats] = []
    none = Neighbours.none(len(w)) if neighbours is None else neighbours
    for number, (i, alpha) in enumerate(zip(events.nodes, events.rates(), strict=True)):
        part = slice(none.starts[i], none.starts[i + 1])
        seen = w[none.sources[part]]
        if events.seen is not None:
            told = events.seen[number, : len(seen)]
            pairs = zip(told, none.sources[part], strict=True)
            seen = np.array([start[j] if e == START else versions[e] for e, j in pairs]).reshape(seen.shape)
        row, means, group, lam_global = np.zeros(0), w[:0], None, 0.0
        if relation is not None:
            k = relation.groups[i]
            row, means, lam_global = relation.theta[k], relation.means, relation.pull
            group = k if relation.own else None
        pulls = (seen, none.weights[part], none.pull, row, means, lam_global)
        w[i] = linear_step_definition(w[i], events.x[number], events.y[number], *pulls, alpha, group)
        versions.append(w[i].copy())
        if target is not None and (number + 1) % every == 0:
            errors.append(((w - target) ** 2).sum(1))
    return w, np.array(errors).reshape(-1, len(w))


# --- public -----------------------------------------------------------------------------------------


def linear_step(
    w: Array,
    x: Array,
    y: float,
    neighbours: Array,
    weights: Array,
    lam_local: float,
    theta_row: Array,
    means: Array,
    lam_global: float,
    alpha: float,
    group: int | None = None,
) -> None:
    """One tick of one node: `w [d]` float64 changes in place.

    `x [d]`, `y`: its sample. `neighbours [m, d]`: the newest copies received; a_ij `[m]`: the weights that it
    gives to what it receives. `theta_row [K]`: Theta's row of its group; `means [K, d]`: group means by
    rows. `group` k: the own w stands for the mean of group k; None: `means` holds it.
    Empty arrays leave a term out. Raises ValueError, TypeError.
    """
    (w_, x_, seen, a, row, fresh), home = unwrap(
        w=w, x=x, neighbours=neighbours, weights=weights, theta_row=theta_row, means=means
    )
    rates = (float(y), pull("lam_local", lam_local), pull("lam_global", lam_global), pull("alpha", alpha))
    tick = (w_, x_, seen, a, row, fresh, *rates, group)
    if home.device is None:
        _check_tick(w_, x_, seen, a, row, fresh, group)
        _tick(*tick)
        return
    from mpidcl_kernels.linear import cuda

    with home.stream():  # the checks look at numbers, too
        _check_tick(w_, x_, seen, a, row, fresh, group)
        cuda.tick(home.device, *tick)


@overload
def run_events(
    w: View,
    events: Events[View],
    neighbours: Neighbours[View] | None = None,
    relation: Relation[View] | None = None,
    target: None = None,
    every: int = 1,
) -> None: ...
@overload
def run_events(
    w: View,
    events: Events[View],
    neighbours: Neighbours[View] | None = None,
    relation: Relation[View] | None = None,
    *,
    target: View,
    every: int = 1,
) -> Doubles: ...
@overload
def run_events(
    w: ArrayT,
    events: Events[ArrayT],
    neighbours: Neighbours[ArrayT] | None = None,
    relation: Relation[ArrayT] | None = None,
    target: ArrayT | None = None,
    every: int = 1,
) -> ArrayT | None: ...
def run_events(
    w: Array,
    events: Events[ArrayT],
    neighbours: Neighbours[ArrayT] | None = None,
    relation: Relation[ArrayT] | None = None,
    target: Array | None = None,
    every: int = 1,
) -> Array | None:
    """All ticks of `events` on models w `[N, d]` float64, in place, in order.

    The bits are those of `linear_step` for one event after the other. With `target [N, d]`, the true model of
    each node, it returns the squared errors |w_i - target_i|^2 `[E // every, N]` after every `every` events.
    The order of events is the order of time: with N nodes of equal rates a node ticks once in N events.
    Raises ValueError, TypeError.

    >>> w = np.zeros((1, 1))
    >>> run_events(w, Events(np.zeros(3, int), np.ones((3, 1)), np.ones(3), 0.5), target=np.ones((1, 1)))
    array([[0.25    ],
           [0.0625  ],
           [0.015625]])
    """
    names = named(events, neighbours, relation) | {"target": target}
    views, home = unwrap(w=w, **names)
    given = dict(zip(("w", *names), views, strict=True))
    if home.device is not None:
        from mpidcl_kernels.base.device import host
        from mpidcl_kernels.linear import cuda

        with home.stream():
            job = prepare(given, events.alpha, neighbours, relation, every, host)
            errors = cuda.run(home.device, job)
    else:
        job = prepare(given, events.alpha, neighbours, relation, every, np.asarray)
        errors = _run(job)
    return None if target is None else home.wrap(errors)


def warm() -> None:
    """Compile the loop, or load it from the cache."""
    w = np.zeros((1, 1))
    linear_step(w[0], w[0], 0.0, w, w[0], 0.0, w[0], w, 0.0, 0.1)
    run_events(w, Events(np.zeros(1, np.int64), w, w[0], 0.1))


def _run(job: Job) -> Floats:
    w = seen = _plain(job.w)
    history = NOTHING
    if job.stride:
        seen = np.concatenate([w, np.empty((len(job.nodes), w.shape[1]))])
        history = seen[len(w) :]
    errors = np.empty((job.records, len(w)))
    given = (job.x, job.y, job.alpha, job.weights, job.theta, job.means, job.target)
    sample, answer, alpha, weights, theta, means, target = map(_plain, given)
    loops.run(
        w, job.nodes, sample, answer, alpha, job.starts, job.rows, weights, seen, job.stride, job.lam_local,
        job.groups, job.own, theta, means, job.lam_global, history, target, job.every, errors,
    )  # fmt: skip
    if w is not job.w:
        job.w[...] = w
    return errors


def _check_tick(
    w: View,
    x: View,
    seen: View,
    weights: View,
    row: View,
    means: View,
    group: int | None,
) -> None:
    if w.ndim != 1:
        raise bad("w", "[d]", f"shape {list(w.shape)}")
    in_place(w)
    size, others, tasks = len(w), len(weights), len(row)
    floats(x, "x", (size,))
    floats(weights, "weights", (others,))
    floats(seen, "neighbours", (others, size))
    floats(row, "theta_row", (tasks,))
    floats(means, "means", (tasks, size))
    if group is not None and not 0 <= group < tasks:
        raise bad("group", f"between 0 and {tasks - 1}", group)
    if others:  # for a few numbers a list is faster; its `min` misses some NaN
        few = weights.tolist() if others <= 32 else [float(weights.min())]
        pull("weights", min(few))
        pull("weights", sum(few))


def _tick(
    w: View,
    x: View,
    seen: View,
    weights: View,
    row: View,
    means: View,
    y: float,
    lam_local: float,
    lam_global: float,
    alpha: float,
    group: int | None,
) -> None:
    """A list of one tick, of a node 0 whose row of Theta is row 0."""
    model, others = _plain(w), len(weights)
    own = NOBODY if group is None else np.array((group,))
    ends, places = _counted(others)
    pair = np.array((y, alpha))
    loops.run(
        model[None], FIRST, _plain(x)[None], pair[:1], pair[1:], ends, places,
        _plain(weights), _plain(seen), 0, lam_local, FIRST, own, _plain(row)[None],
        _plain(means), lam_global, NOTHING, NOTHING, 1, NOTHING,
    )  # fmt: skip
    if model is not w:
        w[...] = model


@functools.lru_cache(64)
def _counted(others: int) -> tuple[Index, Index]:
    """Ends and places of the neighbours of one node; the loop only reads them."""
    return np.array((0, others)), np.arange(others)


def _plain(array: View) -> View:
    """A C-contiguous, aligned, writeable float64 array: one compiled form serves all. Mostly itself."""
    if array.dtype.char == "d" and array.flags.carray:
        return array
    return np.array(array, np.float64, order="C")
