"""Steps with several gradients, for tests of combiners."""

from __future__ import annotations

import numpy as np
from gram_families import FAMILIES, family_gram

from mpidcl.experiment.kinds import BUILT_IN
from mpidcl.learning.combiners import MEMORY, Gradients

KINDS = sorted(BUILT_IN["combiner"])
RULES = {"graddrop"}
"""Kinds that have a rule per coordinate in place of weights."""
WEIGHTED = [kind for kind in KINDS if kind not in RULES]
ALL = tuple(sorted(FAMILIES))
DRAWN = {"pcgrad", "gradvac", "rlw"}
"""Kinds of weights that depend on random numbers."""


def step(gram, *, losses=None, tasks=None, seed=0, number=0) -> Gradients:
    """A step with this Gram matrix; the first row is the memory's."""
    n = len(gram)
    numbers = (MEMORY, *range(n - 1)) if tasks is None else tuple(tasks)
    values = np.linspace(0.5, 2.0, n) if losses is None else np.asarray(losses, float)
    return Gradients(number, numbers, np.asarray(gram, float), values, np.random.default_rng(seed))


def steps(count: int, seed: int = 0, families=ALL):
    """`count` random steps of 2 to 10 gradients in few or many dimensions, of the families in turn."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        gram = family_gram(
            families[number % len(families)], int(rng.integers(2, 11)), int(rng.integers(10**9))
        )
        yield step(gram, losses=rng.uniform(0.1, 3, len(gram)), seed=number, number=number)


def decreases(gradients: Gradients, weights) -> np.ndarray:
    """<g_i, d> [n], relative to ||g_i|| sum_j |w_j| ||g_j||: what rounding may be compared with."""
    size = gradients.norms * (np.abs(weights) @ gradients.norms)
    return gradients.gram @ weights / np.where(size > 0, size, 1)
