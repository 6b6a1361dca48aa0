"""How far the gradients of a run disagree, and whether its steps were descent for all, from a StepLog."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.learning.parallel.steps import StepLog, cosines

Doubles = NDArray[np.float64]


class Pairs(NamedTuple):
    """Of all pairs of gradients of each step, `[steps]`, NaN where there are none.

    Mean and smallest cosine, and the share (0..1) of pairs with a negative one: a step along one of the two
    gradients would increase the loss of the other.
    """

    mean: Doubles
    smallest: Doubles
    share: Doubles


class Binned(NamedTuple):
    """A long series in few pieces: middle step, mean, least and largest value of each, `[n]`."""

    step: Doubles
    mean: Doubles
    low: Doubles
    high: Doubles


def pairs(log: StepLog) -> Pairs:
    """The pairs of each step so far."""
    rows, columns = np.triu_indices(log.tasks + 1, 1)
    each = np.ma.masked_invalid(cosines(log.gram[: log.count])[:, rows, columns])
    found = each.mean(axis=1), each.min(axis=1), (each < 0).mean(axis=1)
    return Pairs(*(np.ma.filled(one, np.nan) for one in found))


def mean_cosines(log: StepLog) -> Doubles:
    """Mean over the steps of the cosine between any two gradients `[S, S]`; NaN where they never met."""
    found = np.ma.masked_invalid(cosines(log.gram[: log.count]))
    return np.asarray(np.ma.filled(found.mean(axis=0), np.nan))


def descent(log: StepLog) -> Doubles:
    """Smallest cosine `[steps]` between the direction d and a gradient of its step; NaN where not known.

    Positive: a small step along -d decreases every loss; negative: it increases the loss of some task.
    """
    gram, weights = log.gram[: log.count], log.weights[: log.count]
    decrease = np.einsum("sij,sj->si", np.nan_to_num(gram), np.nan_to_num(weights))
    lengths = np.sqrt(np.diagonal(gram, axis1=1, axis2=2) * log.length[: log.count, None])
    found = np.divide(decrease, lengths, out=np.full_like(decrease, np.nan), where=lengths > 0)
    return np.clip(np.ma.filled(np.ma.masked_invalid(found).min(axis=1), np.nan), -1, 1)


def relative_slack(log: StepLog) -> Doubles:
    """Slack over |d|^2 `[steps]` where elastic factors promised a decrease; NaN elsewhere and for d = 0."""
    slack, length = log.slack[: log.count], log.length[: log.count]
    promised = (~np.isnan(log.sigma[: log.count])).any(axis=1) & (length > 0)
    return np.asarray(np.divide(slack, length, out=np.full_like(slack, np.nan), where=promised))


def binned(values: Doubles, most: int = 80) -> Binned:
    """Values `[steps]` in at most so many pieces of equal length; pieces without a number are left out."""
    edges = np.linspace(0, len(values), min(most, len(values)) + 1).astype(np.int64)
    found = []
    for first, stop in zip(edges[:-1], edges[1:], strict=True):
        piece = values[first:stop]
        if len(piece := piece[np.isfinite(piece)]):
            found.append(((first + stop - 1) / 2, piece.mean(), piece.min(), piece.max()))
    return Binned(*np.array(found, np.float64).reshape(-1, 4).T)
