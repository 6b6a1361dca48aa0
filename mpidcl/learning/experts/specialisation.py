"""How specialised experts are, from the gates of labelled rows.

    p(c | i) = sum_{x in c} v_x g_i(x) / sum_x v_x g_i(x);   H_i = -sum_c p(c | i) log p(c | i)
    specialisation_i = 1 - H_i / log C;          load_i = sum_x v_x g_i(x) / n;      balance = H(load) / log N
    information MI = log C - sum_i load_i H_i;   confidence = 1 - sum_x v_x H(g(x)) / (n log K)

C: the classes that there are rows of; N: the experts in use. v_x = n / (C n_c) for each of the n_c rows of a
class, so that all classes count the same: an expert that knows nothing of classes would else look specialised
in the frequent ones. MI is exact when the gates of every row sum to 1. It is at least 0, but above 0 also for
n rows whose classes have nothing to do with the experts, by about (C - 1)(N - 1) / (2 n) where each row has
one expert: `shuffled` tells by how much here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
SHUFFLES = 20
"""Orders of the labels over which `shuffled` is a mean."""


class Specialisation(NamedTuple):
    """What the gates of some rows tell of N experts and C classes.

    `mass [C, N]`: weighted sums of gates. `load`, `entropy` and `specialisation [N]`: NaN for the last two
    where an expert got no weight, and for the last one with less than two classes, of which none is another.
    Entropies and informations are in nats.
    """

    mass: Doubles
    load: Doubles
    entropy: Doubles
    specialisation: Doubles
    balance: float
    information: float
    shuffled: float
    confidence: float


def entropy(shares: Doubles, axis: int = -1) -> Doubles:
    """-sum p log p along an axis, where 0 log 0 = 0.

    >>> entropy(np.array([0.5, 0.5, 0.0])).round(4).item()
    0.6931
    """
    found: Doubles = -np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1.0)), 0.0).sum(axis)
    return found


def specialisation(
    gates: Doubles,
    labels: npt.NDArray[np.int64],
    classes: int,
    used: int,
    active: int,
    rng: np.random.Generator,
) -> Specialisation:
    """From gates [n, N] of rows with labels [n] below `classes`: `active` of `used` experts answer a row."""
    counts = np.bincount(labels, minlength=classes)
    present = int((counts > 0).sum())
    value = len(gates) / (max(1, present) * np.maximum(1, counts))
    mass = class_mass(gates, labels, classes) * value[:, None]
    total = mass.sum(0)
    given = np.where(total > 0, total, 1.0)
    inside = np.where(total > 0, entropy(mass / given, 0), np.nan)
    load = total / max(1, len(gates))
    most = np.log(present) if present > 1 else np.nan
    mixed = float((entropy(gates) * value[labels]).sum() / max(1, len(gates)))
    shuffled = (class_mass(gates, rng.permutation(labels), classes) for _ in range(SHUFFLES))
    drawn = [information(one * value[:, None]) for one in shuffled]
    return Specialisation(
        mass,
        load,
        inside,
        1 - inside / most,
        float(entropy(load) / np.log(max(2, used))),
        information(mass),
        float(np.mean(drawn)),
        1 - mixed / float(np.log(max(2, active))) if len(gates) else np.nan,
    )


def class_mass(gates: Doubles, labels: npt.NDArray[np.int64], classes: int) -> Doubles:
    """Sums of the gates [n, N] of the rows of each class [C, N]."""
    found = np.zeros((classes, gates.shape[1]))
    np.add.at(found, labels, gates)
    return found


def information(mass: Doubles) -> float:
    """Mutual information in nats of class and expert, whose joint weights are `mass [C, N]`.

    >>> round(information(np.eye(2)), 4), information(np.ones((2, 2)))
    (0.6931, 0.0)
    """
    total = mass.sum()
    if not total:
        return 0.0
    both = mass / total
    return max(0.0, float(entropy(both.sum(1)) + entropy(both.sum(0)) - entropy(both.ravel())))
