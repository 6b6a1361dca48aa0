"""Arithmetic of model exchange: mixing weights, weighted averages, Fisher sums (DCL, arXiv 2405.17466).

All sums run in order of agent id, in float64, and are rounded to float32 once (`mpidcl_kernels.average`): the
result does not depend on the order of arrival, agents that averaged the same models hold the same bits, and
the average of equal models is that model. Placeds are NumPy's, or tensors on the learner's GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, cast

import numpy as np

from mpidcl.base.arrays import Placed
from mpidcl.exchange.packing.compression import Positions
from mpidcl_kernels import average
from mpidcl_kernels.average.parts import Place
from mpidcl_kernels.base.types import View

A = TypeVar("A", bound="Placed", covariant=True)


@dataclass(frozen=True, slots=True)
class Contribution(Generic[A]):
    """What one agent gave: `values` [m] for `positions` of the model, and their Fisher information."""

    agent: int
    positions: Positions | A
    values: A
    fisher: A | None = None

    @property
    def place(self) -> Place:
        """The positions as the kernels take them: the first of a row, or all."""
        if isinstance(self.positions, slice):
            return int(self.positions.start)
        return cast("Place", self.positions)

    def on(self: Contribution[View], place: Callable[[View], Placed]) -> Contribution[Placed]:
        """The same where `place` puts arrays."""
        given = self.positions
        positions = given if isinstance(given, slice) else place(given.astype(np.int64))
        fisher = None if self.fisher is None else place(self.fisher)
        return Contribution(self.agent, positions, place(self.values), fisher)


def mixing_weights(
    kind: Literal["uniform", "metropolis"], agent: int, sources: Sequence[int], degrees: Mapping[int, int]
) -> dict[int, float]:
    """Weight of every source and of the agent itself; they sum to 1 (DCL, arXiv 2405.17466).

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
    own: Placed,
    agent: int,
    contributions: Sequence[Contribution[Placed]],
    weights: Mapping[int, float],
    out: Placed | None = None,
) -> Placed:
    """sum_j w_j theta_j [n]; where j sent nothing its weight goes to `own`, which may be `out`."""
    ordered = _in_order(own, None, agent, contributions)
    values, places, mine = [c.values for c in ordered], [c.place for c in ordered], _number(ordered, agent)
    return average.weighted_average(values, [weights[c.agent] for c in ordered], out, places, mine)


def fisher_average(
    own: Placed,
    own_fisher: Placed,
    agent: int,
    contributions: Sequence[Contribution[Placed]],
    weights: Mapping[int, float],
    eps: float,
    out: Placed | None = None,
) -> Placed:
    """w[p] = (sum_j F_j[p] w_j[p] + eps m[p]) / (sum_j F_j[p] + eps), m = the weighted average.

    As published (DCL, arXiv 2405.17466) with one change: there eps appears below only, which pulls every
    parameter that no agent's loss depends on to zero. Here such parameters are averaged plainly. `own` may be
    `out`.
    """
    ordered = _in_order(own, own_fisher, agent, contributions)
    values, fishers = [c.values for c in ordered], [c.fisher for c in ordered]
    places, mine = [c.place for c in ordered], _number(ordered, agent)
    factors = [weights[c.agent] for c in ordered]
    return average.fisher_average(values, fishers, factors, eps, out, places, mine)


def curvature_sums(contributions: Sequence[Contribution[Placed]], size: int) -> tuple[Placed, Placed] | None:
    """sum_j F_j [n] and sum_j F_j w_j [n]: what FedCurv's penalty needs of the others; None without any."""
    ordered = sorted(contributions, key=lambda c: c.agent)
    if not ordered:
        return None
    values, fishers = [c.values for c in ordered], [c.fisher for c in ordered]
    return average.fisher_sums(values, fishers, size, [c.place for c in ordered])


def distances(values: Placed, contributions: Sequence[Contribution[Placed]]) -> list[float]:
    """Mean absolute difference to each contribution, in the order given, at the positions that came."""
    places = [c.place for c in contributions]
    found: list[float] = average.distances(values, [c.values for c in contributions], places).tolist()
    return found


def _in_order(
    own: Placed, own_fisher: Placed | None, agent: int, contributions: Sequence[Contribution[Placed]]
) -> list[Contribution[Placed]]:
    """All contributions and one's own, in order of agent."""
    mine = Contribution(agent, slice(0, len(own)), own, own_fisher)
    return sorted([mine, *contributions], key=lambda c: c.agent)


def _number(ordered: Sequence[Contribution[Placed]], agent: int) -> int:
    return [c.agent for c in ordered].index(agent)
