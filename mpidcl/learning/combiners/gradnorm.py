"""GradNorm: gradients as long as their tasks are slow (Chen et al. 2018, arXiv 1711.02257)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.averages import Averages
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.shortest import checked_losses


class GradNorm(Combiner):
    """w_i ||g_i|| is proportional to r_i^alpha, with sum n (section 3 of the paper).

    r_i = (L_i / L_i first) / their mean: tasks that learn slowly get longer gradients. The paper goes towards
    these weights by gradient steps; `rate` < 1 does so, too. Gradients of zeros have weight 0.
    """

    class Options(Options):
        """How strongly slow tasks are pushed."""

        alpha: float = Field(1.5, ge=0, description="power of the relative loss")
        rate: float = Field(
            1.0, gt=0, le=1, description="share of the way from the last weights to the new ones"
        )

    options: Options
    name = "gradnorm"

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._first, self._last = Averages(), Averages()

    def weights(self, gradients: Gradients) -> Doubles:
        losses, norms = checked_losses(gradients, "gradnorm"), gradients.norms
        moving = np.flatnonzero((norms > 0) & (losses > 0))
        weights = np.zeros(len(gradients))
        if not len(moving):
            return weights
        tasks = tuple(gradients.tasks[i] for i in moving)
        ratio = losses[moving] / self._first.update(tasks, losses[moving], keep=1.0)
        wanted = (ratio / ratio.mean()) ** self.options.alpha / norms[moving]
        wanted *= len(moving) / wanted.sum()
        weights[moving] = self._last.update(tasks, wanted, keep=1 - self.options.rate)
        return np.asarray(weights * len(moving) / weights.sum())

    def state(self) -> dict[str, Any]:
        return {"first": self._first.state(), "last": self._last.state()}

    def load(self, state: dict[str, Any]) -> None:
        self._first.load(state["first"])
        self._last.load(state["last"])
