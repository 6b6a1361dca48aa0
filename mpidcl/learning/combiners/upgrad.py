"""UPGrad and DualProj: projections on the cone of steps that hurt nobody."""

from __future__ import annotations

import numpy as np

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl_kernels.cone import cone_weights


class UPGrad(Combiner):
    """d = 1/n sum_i p_i: p_i is the vector nearest to g_i that no gradient disagrees with.

    Unconflicting projection of gradients (Quinton and Rey 2024, arXiv 2406.16232, section 3.1): no loss
    increases to first order, and the step of a task grows with its gradient.
    """

    name = "upgrad"
    kernels = ("cone",)

    def weights(self, gradients: Gradients) -> Doubles:
        n = len(gradients)
        return np.asarray(cone_weights(gradients.gram, np.eye(n) / n).sum(0))


class DualProj(Combiner):
    """d is the vector nearest to the mean gradient that no gradient disagrees with.

    The rule of GEM (Lopez-Paz and Ranzato 2017, arXiv 1706.08840, section 3) with margin 0, among all
    gradients of the step.
    """

    name = "dualproj"
    kernels = ("cone",)

    def weights(self, gradients: Gradients) -> Doubles:
        n = len(gradients)
        return np.asarray(cone_weights(gradients.gram, np.full((1, n), 1 / n))[0])
