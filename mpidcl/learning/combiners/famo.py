"""FAMO: logarithms of the losses should fall alike (Liu et al. 2023, arXiv 2306.03792, algorithm 1)."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.rlw import softmax
from mpidcl.learning.combiners.shortest import checked_losses

LEAST = 1e-8
"""Added to losses before their logarithm is taken, as in the published code."""
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of Adam, as torch has them and the published code leaves them."""


@dataclass
class Logit:
    """The logit of one task, what Adam knows of its slopes, and the logarithm of the task's last loss."""

    value: float = 0.0
    mean: float = 0.0
    square: float = 0.0
    steps: float = 0.0
    logarithm: float = np.nan

    def step(self, slope: float, lr: float) -> None:
        """One step of Adam (Kingma and Ba 2015, algorithm 1), counted for this logit alone."""
        self.steps += 1
        self.mean += (1 - BETAS[0]) * (slope - self.mean)
        self.square += (1 - BETAS[1]) * (slope**2 - self.square)
        size = np.sqrt(self.square / (1 - BETAS[1] ** self.steps)) + EPSILON
        self.value -= lr * self.mean / (1 - BETAS[0] ** self.steps) / float(size)


class FAMO(Combiner):
    """w_i = z_i / L_i over their sum, z = softmax(x); x_i falls where log L_i fell faster than the others'.

    Adam takes the steps of the logits x. The paper measures the loss of the same rows again after the step.
    That pass is left out: a task's next loss, of other rows, is taken for it. A task takes part in the
    comparison from its second loss on.
    """

    class Options(Options):
        """How fast the weights change."""

        lr: float = Field(0.025, gt=0, description="step size of Adam on the logits x")
        decay: float = Field(1e-3, ge=0, description="weight decay: pull of the logits to 0")

    options: Options
    name = "famo"

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._logits: dict[int, Logit] = {}

    def weights(self, gradients: Gradients) -> Doubles:
        losses = checked_losses(gradients, "famo") + LEAST
        logits = [self._logits.setdefault(task, Logit()) for task in gradients.tasks]
        self._compare(logits, np.log(losses))
        weights = softmax(np.array([logit.value for logit in logits])) / losses
        return np.asarray(weights / weights.sum())

    def _compare(self, logits: list[Logit], now: Doubles) -> None:
        """Adam's step on the logits of the tasks that have an earlier loss."""
        known = [i for i, logit in enumerate(logits) if not np.isnan(logit.logarithm)]
        if known:
            z = softmax(np.array([logits[i].value for i in known]))
            fall = np.array([logits[i].logarithm for i in known]) - now[known]
            for i, slope in zip(known, (z * (fall - z @ fall)).tolist(), strict=True):
                logits[i].step(slope + self.options.decay * logits[i].value, self.options.lr)
        for logit, logarithm in zip(logits, now.tolist(), strict=True):
            logit.logarithm = logarithm

    def state(self) -> dict[str, Any]:
        numbers = np.array([astuple(logit) for logit in self._logits.values()], dtype=np.float64)
        return {"tasks": np.array(list(self._logits), dtype=np.int64), "logits": numbers.reshape(-1, 5)}

    def load(self, state: dict[str, Any]) -> None:
        rows = zip(state["tasks"].tolist(), state["logits"].tolist(), strict=True)
        self._logits = {task: Logit(*numbers) for task, numbers in rows}
