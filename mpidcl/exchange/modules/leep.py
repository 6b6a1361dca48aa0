"""LEEP: how well a classifier's answers tell the classes of rows it was not trained for.

The log expected empirical prediction of Nguyen et al., "LEEP: A New Measure to Evaluate Transferability
of Learned Representations" (ICML 2020, equations 1 and 2). With theta_z(x) the probability that the
source classifier gives to its class z for row x, and labels y_i of n rows:

    P(y, z) = (1/n) sum_{i: y_i = y} theta_z(x_i)
    P(y|z)  = P(y, z) / sum_y P(y, z)
    LEEP    = (1/n) sum_i log sum_z P(y_i|z) theta_z(x_i)

It is at most 0, and 0 for a classifier whose classes tell the labels without a mistake.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Sources = NDArray[np.int16]


class Transfer(NamedTuple):
    """What LEEP says of a source classifier: its `score`, and `sources` [C], the source class z whose head
    row each own class takes over; -1: none."""

    score: float
    sources: Sources


def probabilities(logits: NDArray[np.floating]) -> Doubles:
    """Softmax [n, Z] of logits [n, Z], in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    found: Doubles = powers / powers.sum(axis=1, keepdims=True)
    return found


def joint(theta: Doubles, y: NDArray[np.integer], classes: int) -> Doubles:
    """P(y, z) [classes, Z] of probabilities theta [n, Z] and labels y [n] in 0 .. classes - 1."""
    found: Doubles = np.zeros((classes, theta.shape[1]))
    np.add.at(found, y, theta)
    found /= len(theta)
    return found


def conditional(both: Doubles) -> Doubles:
    """P(y|z) [C, Z] of P(y, z) [C, Z]; 0 for a source class that no row is given to."""
    mass = both.sum(axis=0)
    # A class without mass adds nothing to the score, whatever stands here.
    found: Doubles = np.divide(both, mass, out=np.zeros_like(both), where=mass > 0)
    return found


def score(theta: Doubles, y: NDArray[np.integer], given: Doubles) -> float:
    """LEEP of probabilities theta [n, Z], labels y [n] and P(y|z) `given` [C, Z]."""
    predicted = (given[y] * theta).sum(axis=1)
    # Each is a probability; rounding may lift a sum of them one bit above 1.
    return float(np.log(np.minimum(predicted, 1.0)).mean())


def head_sources(both: Doubles) -> Sources:
    """The source class [C] whose head row each own class takes over: argmax_z P(y|z), the lowest of equals.

    -1 where no source class makes y likelier than it is among all rows, P(y|z) <= P(y) for every z: then
    the classifier knows nothing of y. Two own classes may take the same row.
    """
    given, prior = conditional(both), both.sum(axis=1)
    best = given.argmax(axis=1)
    # One millionth of room: equal probabilities come out of different sums.
    tells = given[np.arange(len(given)), best] > prior * (1 + 1e-6)
    return np.where(tells, best, -1).astype(np.int16)


def leep(logits: NDArray[np.floating], y: NDArray[np.integer], classes: int) -> Transfer:
    """LEEP of a source classifier with logits [n, Z] for rows with labels y [n] in 0 .. classes - 1.

    The score is NaN and nothing is taken over when a logit is not finite or there is no row.
    """
    if len(logits) == 0 or not np.isfinite(logits).all():
        return Transfer(float("nan"), np.full(classes, -1, np.int16))
    theta = probabilities(logits)
    both = joint(theta, y, classes)
    return Transfer(score(theta, y, conditional(both)), head_sources(both))
