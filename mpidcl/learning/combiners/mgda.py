"""MGDA: the shortest vector in the convex hull of the gradients (Desideri 2012; Sener and Koltun 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.shortest import checked_losses, shortest_step

SIZES: dict[str, Callable[[Gradients], Doubles]] = {
    "none": lambda gradients: np.ones(len(gradients)),
    "l2": lambda gradients: gradients.norms,
    "loss": lambda gradients: checked_losses(gradients, 'mgda, normalise = "loss"'),
    "loss+": lambda gradients: checked_losses(gradients, 'mgda, normalise = "loss+"') * gradients.norms,
}


class MGDA(Combiner):
    """d = sum_i w_i g_i / s_i, the shortest for w on the simplex; s_i is 1, ||g_i||, L_i or L_i ||g_i||.

    No loss increases to first order: <g_i, d> >= s_i ||d||^2. d = 0 if and only if the point is Pareto
    critical. The minimum is exact: no Frank-Wolfe rounds, no least step. A gradient of zeros stops all
    tasks, unless it is divided by its length: then it has weight 0.
    """

    class Options(Options):
        """What gradients are divided by."""

        normalise: Literal["none", "l2", "loss", "loss+"] = Field(
            "none", description="divide gradients by nothing, their length, their loss, or both"
        )

    options: Options
    name = "mgda"
    kernels = ("simplex",)

    def weights(self, gradients: Gradients) -> Doubles:
        self.sigma = SIZES[self.options.normalise](gradients)
        return shortest_step(gradients.gram, self.sigma)
