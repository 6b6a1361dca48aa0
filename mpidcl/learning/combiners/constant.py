"""Weights that no gradient has a say in: the sum and the mean; and unit lengths for all."""

from __future__ import annotations

import numpy as np

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients


class Sum(Combiner):
    """d = sum_i g_i: the gradient of the summed losses."""

    name = "sum"

    def weights(self, gradients: Gradients) -> Doubles:
        return np.ones(len(gradients))


class Mean(Combiner):
    """d = 1/n sum_i g_i: the gradient of the mean loss, what averaging in an allreduce gives."""

    name = "mean"

    def weights(self, gradients: Gradients) -> Doubles:
        return np.full(len(gradients), 1 / len(gradients))


class NormGrad(Combiner):
    """d = sum_i g_i / ||g_i||: every gradient has the same length; one of zeros has weight 0."""

    name = "norm_grad"

    def weights(self, gradients: Gradients) -> Doubles:
        norms = gradients.norms
        return np.divide(1, norms, out=np.zeros(len(norms)), where=norms > 0)
