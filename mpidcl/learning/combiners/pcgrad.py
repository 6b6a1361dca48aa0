"""PCGrad: gradient surgery (Yu et al. 2020, arXiv 2001.06782, algorithm 1)."""

from __future__ import annotations

import numpy as np

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients


class PCGrad(Combiner):
    """d = sum_i p_i: p_i is g_i, less its projection on each other g_j that it disagrees with at that time.

    The others come in an order drawn anew for each i; the g_j are the original gradients.
    """

    name = "pcgrad"

    def weights(self, gradients: Gradients) -> Doubles:
        n = len(gradients)
        total = np.zeros(n)
        for i in range(n):
            total += projected(gradients.gram, i, others(n, i, gradients.rng))
        return total


def others(n: int, i: int, rng: np.random.Generator) -> list[int]:
    """All numbers below n but i, in random order."""
    order = rng.permutation(n - 1)
    return [int(j) + int(j >= i) for j in order]


def projected(gram: Doubles, i: int, others: list[int]) -> Doubles:
    """Weights [n] of g_i after it gave way to `others`, in that order."""
    weights = np.zeros(len(gram))
    weights[i] = 1
    for j in others:
        product = gram[j] @ weights
        if product < 0 < gram[j, j]:
            weights[j] -= product / gram[j, j]
    return weights
