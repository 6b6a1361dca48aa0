"""The mean of what neighbours sent, parameter by parameter.

    theta_p = sum_{j in S_p} w_j theta_j,p / sum_{j in S_p} w_j,  S_p = those who sent p, and the agent itself
    with Fisher information:  (sum F_j,p theta_j,p + eps m_p) / (sum F_j,p + eps),  m_p = the mean above

Where all who were heard sent p the weights are not divided: they sum to 1, with those of silent neighbours at
the agent itself. So a share of 1 gives the bits of plain averaging. Parameters that nobody sent stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.exchange.averaging import Contribution
from mpidcl.exchange.packing.compression import Floats
from mpidcl_kernels.base.types import View


class Own(NamedTuple):
    """The agent's own number, values [n], and Fisher information where it counts."""

    agent: int
    values: Floats
    fisher: Floats | None


class Merged(NamedTuple):
    """New values [k] of the parameters at positions [k], which ascend."""

    positions: NDArray[np.int64]
    values: Floats


def coordinate_mean(
    own: Own, given: Sequence[Contribution[View]], weights: Mapping[int, float], eps: float
) -> Merged:
    """The means of the parameters that somebody sent, summed in order of agent in float64, rounded once.

    `weights`: of those heard and of the agent itself.
    """
    places = {one.agent: _positions(one) for one in given}
    touched = _touched(own.values.size, list(places.values()))
    total, share, heard = (np.zeros(touched.size) for _ in range(3))
    information, informed = np.zeros(touched.size), np.zeros(touched.size)
    for agent, one in sorted([(own.agent, None), *((c.agent, c) for c in given)], key=lambda pair: pair[0]):
        weight = weights[agent]
        if one is None:
            at, values = np.arange(touched.size), own.values[touched]
            fisher = None if own.fisher is None else own.fisher[touched]
        else:
            at, values, fisher = np.searchsorted(touched, places[agent]), one.values, one.fisher
            heard[at] += 1
        values = values.astype(np.float64)
        total[at] += weight * values
        share[at] += weight
        if own.fisher is not None and fisher is not None:
            information[at] += fisher.astype(np.float64)
            informed[at] += fisher.astype(np.float64) * values
    mean = np.where(heard == len(given), total, total / share)
    if own.fisher is not None:
        mean = (informed + eps * mean) / (information + eps)
    return Merged(touched, mean.astype(np.float32))


def _touched(size: int, places: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    named = np.zeros(size, np.bool_)
    for positions in places:
        named[positions] = True
    return np.flatnonzero(named)


def _positions(one: Contribution[View]) -> NDArray[np.int64]:
    if isinstance(one.positions, slice):
        return np.arange(one.positions.start, one.positions.stop)
    return one.positions.astype(np.int64)
