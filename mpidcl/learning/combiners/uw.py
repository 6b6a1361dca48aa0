"""UW: uncertainty weighting (Kendall, Gal and Cipolla 2018, arXiv 1705.07115, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.averages import Averages
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.shortest import checked_losses


class UW(Combiner):
    """w_i = exp(-s_i) / 2; after each step s_i goes down the slope of exp(-s_i) L_i / 2 + s_i / 2, from 0.

    s_i is the logarithm of the variance of task i: its fixed point is log L_i, where w_i = 1 / (2 L_i).
    """

    class Options(Options):
        """How fast the variances are learned."""

        lr: float = Field(0.025, gt=0, description="step size of the logarithms of the variances")

    options: Options
    name = "uw"

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._logarithms = Averages()

    def weights(self, gradients: Gradients) -> Doubles:
        losses = checked_losses(gradients, "uw")
        s = self._logarithms.before(gradients.tasks, np.zeros(len(gradients)))
        weights = np.exp(-s) / 2
        self._logarithms.update(gradients.tasks, s + self.options.lr * (weights * losses - 0.5), keep=0)
        return weights

    def state(self) -> dict[str, Any]:
        return self._logarithms.state()

    def load(self, state: dict[str, Any]) -> None:
        self._logarithms.load(state)
