"""Linear ticks: one at a time, and a list of them, beside the same written with NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpidcl.benchmarks.case import Case, Place
from mpidcl_kernels import linear
from mpidcl_kernels.base.types import Doubles, Index

NODES, GROUPS, EVENTS, ALPHA = 24, 4, 2000, 0.001
"""Groups of six nodes, each a directed ring."""


def cases(place: Place) -> Iterator[Case]:
    """One tick and 2000 ticks with d = 6 and d = 64 features."""
    for size in (6, 64):
        rng = np.random.default_rng(0)
        w, means = np.zeros((NODES, size)), rng.normal(size=(GROUPS, size))
        x, y = rng.normal(size=(EVENTS, size)), rng.normal(size=EVENTS)
        yield _tick(place, w[0], x[0], float(y[0]), w[1:4].copy(), means)
        yield _list(place, w, x, y, rng.integers(0, NODES, EVENTS), means)


def _tick(place: Place, w: Doubles, x: Doubles, y: float, seen: Doubles, means: Doubles) -> Case:
    weights, row = np.ones(len(seen)), np.ones(len(means))
    mine, sample, copies, a, theta, fresh = (place(v) for v in (w.copy(), x, seen, weights, row, means))
    other = w.copy()

    def by_hand() -> None:
        slope = -x * (y - x @ other) + 1.0 * weights @ (other - seen) + 0.004 * row @ means
        other[:] -= ALPHA * slope

    return Case(
        "linear_step",
        f"d = {len(w)}, {len(seen)} neighbours, K = {len(means)}",
        lambda: linear.linear_step(mine, sample, y, copies, a, 1.0, theta, fresh, 0.004, ALPHA),
        {"numpy": by_hand},
        rows=1,
        threads=1,
    )


def _list(place: Place, w: Doubles, x: Doubles, y: Doubles, order: Index, means: Doubles) -> Case:
    ring = np.zeros((NODES, NODES))
    members = np.arange(NODES)
    ring[members, members // 6 * 6 + (members + 1) % 6] = 1
    groups, theta = members // 6, np.eye(GROUPS)
    hears = linear.Neighbours.from_matrix(ring, 1.0)
    events = linear.Events(place(order), place(x), place(y), ALPHA)
    placed = linear.Neighbours(place(hears.starts), place(hears.sources), place(hears.weights), 1.0)
    relation = linear.Relation(place(theta), place(means), place(groups), 0.004)
    models, other = place(w.copy()), w.copy()

    def by_hand() -> None:
        for i, sample, answer in zip(order, x, y, strict=True):
            part = hears.sources[hears.starts[i] : hears.starts[i + 1]]
            slope = -sample * (answer - sample @ other[i]) + (other[i] - other[part]).sum(0)
            other[i] -= ALPHA * (slope + 0.004 * theta[groups[i]] @ means)

    return Case(
        "run_events",
        f"{EVENTS} ticks of {NODES} nodes, d = {w.shape[1]}",
        lambda: linear.run_events(models, events, placed, relation),
        {"numpy": by_hand},
        rows=EVENTS,
        threads=1,
    )
