"""FAMO: logarithms of the losses should fall alike (Liu et al. 2023, arXiv 2306.03792, algorithm 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from mpidcl.learning.combiners.averages import Averages
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.rlw import softmax
from mpidcl.learning.combiners.shortest import checked_losses
from mpidcl.options import Options

LEAST = 1e-8
"""Added to losses before their logarithm is taken, as in the published code."""


class FAMO(Combiner):
    """w_i = z_i / L_i over their sum, z = softmax(x); x_i falls where log L_i fell faster than the others'.

    The paper measures the loss of the same rows again after the step. That pass is left out: a task's next
    loss, of other rows, is taken for it.
    """

    class Options(Options):
        """How fast the weights change."""

        lr: float = Field(0.025, gt=0, description="step size of the logits x")
        decay: float = Field(1e-3, ge=0, description="pull of the logits to 0")

    options: Options
    name = "famo"

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._logits, self._losses = Averages(), Averages()

    def weights(self, gradients: Gradients) -> Doubles:
        tasks, losses = gradients.tasks, checked_losses(gradients, "famo") + LEAST
        x = self._logits.before(tasks, np.zeros(len(tasks)))
        z = softmax(x)
        fall = np.log(self._losses.before(tasks, losses)) - np.log(losses)  # 0 for a task's first
        x = x - self.options.lr * (z * (fall - (z * fall).sum()) + self.options.decay * x)
        self._logits.update(tasks, x, keep=0)
        self._losses.update(tasks, losses, keep=0)
        weights = softmax(x) / losses
        return np.asarray(weights / weights.sum())

    def state(self) -> dict[str, Any]:
        return {"logits": self._logits.state(), "losses": self._losses.state()}

    def load(self, state: dict[str, Any]) -> None:
        self._logits.load(state["logits"])
        self._losses.load(state["losses"])
