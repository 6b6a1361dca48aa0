"""Arithmetic of model exchange: mixing weights, weighted averages, Fisher sums (dcl.md section 3.4).

All sums run in order of agent id, over chunks, in float64, and are rounded to float32 once: the
result does not depend on the order of arrival, agents that averaged the same models hold the same
bits, and the average of equal models is that model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpidcl.exchange.compression import Floats, Positions

CHUNK = 1 << 15
"""Values per step: three float64 rows of a chunk stay in the second-level cache."""

Indices = slice | NDArray[np.signedinteger]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one agent gave: `values` [m] for `positions` of the model, and their Fisher information."""

    agent: int
    positions: Positions
    values: Floats
    fisher: Floats | None = None

    def chunk(self, low: int, high: int) -> tuple[Indices, slice]:
        """The part inside [low, high): its places relative to `low`, and where its values are."""
        if isinstance(self.positions, slice):
            first, last = max(low, self.positions.start), max(low, min(high, self.positions.stop))
            first = min(first, last)
            start = first - self.positions.start
            return slice(first - low, last - low), slice(start, start + last - first)
        bounds = np.searchsorted(self.positions, (low, high))
        inside = slice(int(bounds[0]), int(bounds[1]))
        return self.positions[inside].astype(np.intp) - low, inside


def mixing_weights(
    kind: Literal["uniform", "metropolis"], agent: int, sources: Sequence[int], degrees: Mapping[int, int]
) -> dict[int, float]:
    """Weight of every source and of the agent itself; they sum to 1 (dcl.md section 3.4).

    uniform: 1 / (deg_i + 1). metropolis: 1 / (1 + max(deg_i, deg_j)), and the rest for the agent
    itself: doubly stochastic on undirected graphs, so the mean over all agents is kept.

    The end 0 of the line 0 - 1 - 2, whose middle has two neighbours:

    >>> degrees = {0: 1, 1: 2, 2: 1}
    >>> mixing_weights("uniform", 0, [1], degrees)
    {1: 0.5, 0: 0.5}
    >>> {agent: round(weight, 3) for agent, weight in mixing_weights("metropolis", 0, [1], degrees).items()}
    {1: 0.333, 0: 0.667}
    """
    if kind == "uniform":
        return {other: 1.0 / (len(sources) + 1) for other in (*sources, agent)}
    weights = {other: 1.0 / (1 + max(degrees[agent], degrees[other])) for other in sources}
    weights[agent] = 1.0 - sum(weights[other] for other in sorted(sources))
    return weights


def with_silent(weights: Mapping[int, float], agent: int, present: Sequence[int]) -> dict[int, float]:
    """`weights` of those present; the weight of every silent source goes to the agent itself."""
    silent = sorted(set(weights) - set(present) - {agent})
    return {
        **{other: weights[other] for other in sorted(present)},
        agent: weights[agent] + sum(weights[other] for other in silent),
    }


def weighted_average(
    own: Floats, agent: int, contributions: Sequence[Contribution], weights: Mapping[int, float]
) -> Floats:
    """sum_j w_j theta_j [n]; at positions that j did not send its weight goes to `own`."""
    average = np.empty_like(own)
    for low, high in _chunks(own.size):
        average[low:high] = _mean(own, agent, contributions, weights, low, high)
    return average


def fisher_average(
    own: Floats,
    own_fisher: Floats,
    agent: int,
    contributions: Sequence[Contribution],
    weights: Mapping[int, float],
    eps: float,
) -> Floats:
    """w[p] = (sum_j F_j[p] w_j[p] + eps m[p]) / (sum_j F_j[p] + eps), m = the weighted average.

    dcl.md section 3.4 with one change: there eps appears below only, which pulls every parameter that
    no agent's loss depends on to zero. Here such parameters are averaged plainly.
    """
    average = np.empty_like(own)
    mine = Contribution(agent, slice(0, own.size), own, own_fisher)
    ordered = sorted([mine, *contributions], key=lambda c: c.agent)
    for low, high in _chunks(own.size):
        information, weighted = _fisher_sums(ordered, low, high)
        mean = _mean(own, agent, contributions, weights, low, high)
        average[low:high] = (weighted + eps * mean) / (information + eps)
    return average


def curvature_sums(size: int, contributions: Sequence[Contribution]) -> tuple[Floats, Floats]:
    """sum_j F_j [n] and sum_j F_j w_j [n]: all that FedCurv's penalty needs of the others."""
    information, weighted = np.empty(size, np.float32), np.empty(size, np.float32)
    ordered = sorted(contributions, key=lambda c: c.agent)
    for low, high in _chunks(size):
        information[low:high], weighted[low:high] = _fisher_sums(ordered, low, high)
    return information, weighted


def divergence(values: Floats, contributions: Sequence[Contribution]) -> float:
    """Mean over neighbours of the mean absolute difference at the positions that came; 0 without any."""
    means = []
    for contribution in sorted(contributions, key=lambda c: c.agent):
        total = 0.0
        for low, high in _chunks(values.size):
            where, inside = contribution.chunk(low, high)
            difference = values[low:high][where] - contribution.values[inside]
            total += float(np.abs(difference, out=difference).sum(dtype=np.float64))
        means.append(total / max(1, contribution.values.size))
    return sum(means) / max(1, len(means))


def _chunks(size: int) -> Iterator[tuple[int, int]]:
    return ((low, min(low + CHUNK, size)) for low in range(0, size, CHUNK))


def _mean(
    own: Floats,
    agent: int,
    contributions: Sequence[Contribution],
    weights: Mapping[int, float],
    low: int,
    high: int,
) -> Doubles:
    given = {c.agent: c for c in contributions}
    total, theirs = np.zeros(high - low), np.empty(high - low)
    for other in sorted([*given, agent]):
        theirs[:] = own[low:high]
        if other != agent:
            where, inside = given[other].chunk(low, high)
            theirs[where] = given[other].values[inside]
        theirs *= weights[other]
        total += theirs
    return total


def _fisher_sums(ordered: Sequence[Contribution], low: int, high: int) -> tuple[Doubles, Doubles]:
    information, weighted = np.zeros(high - low), np.zeros(high - low)
    for contribution in ordered:
        if contribution.fisher is None:
            continue
        where, inside = contribution.chunk(low, high)
        fisher = contribution.fisher[inside].astype(np.float64)
        information[where] += fisher
        weighted[where] += fisher * contribution.values[inside]
    return information, weighted
