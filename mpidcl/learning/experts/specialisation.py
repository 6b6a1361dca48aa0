"""How specialised experts are, from the gates of labelled rows.

    p(c | i) = sum_{x in c} g_i(x) / sum_x g_i(x);   H_i = -sum_c p(c | i) log p(c | i)
    specialisation_i = 1 - H_i / log C;              load_i = mean_x g_i(x);   balance = H(load) / log N
    information MI = H(class) - sum_i load_i H_i;    confidence = 1 - mean_x H(g(x)) / log K

MI is exact when the gates of every row sum to 1. It is at least 0, and about (C - 1)(N - 1) / (2 n) for n
rows whose classes have nothing to do with the experts: `shuffled` tells how much that is here.
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

    `mass [C, N]`: sums of gates. `load`, `entropy` and `specialisation [N]`: NaN for the last two where an
    expert got no weight. Entropies and informations are in nats.
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
    gates: Doubles, labels: npt.NDArray[np.int64], classes: int, active: int, rng: np.random.Generator
) -> Specialisation:
    """From gates [n, N] of rows with labels [n] below `classes`; `active` experts answer each row."""
    mass = class_mass(gates, labels, classes)
    total = mass.sum(0)
    given = np.where(total > 0, total, 1.0)
    inside = np.where(total > 0, entropy(mass / given, 0), np.nan)
    load = total / max(1, len(gates))
    present = max(2, int((np.bincount(labels, minlength=classes) > 0).sum()))
    used = max(2, gates.shape[1])
    sizes = np.log(present), np.log(used), np.log(max(2, active))
    drawn = [information(class_mass(gates, rng.permutation(labels), classes)) for _ in range(SHUFFLES)]
    return Specialisation(
        mass,
        load,
        inside,
        1 - inside / sizes[0],
        float(entropy(load) / sizes[1]),
        information(mass),
        float(np.mean(drawn)),
        1.0 - float(entropy(gates).mean() / sizes[2]) if len(gates) else np.nan,
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
    return float(entropy(both.sum(1)) + entropy(both.sum(0)) - entropy(both.ravel()))
