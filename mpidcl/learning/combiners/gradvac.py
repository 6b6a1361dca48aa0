"""GradVac: gradients are turned towards each other until they agree as they usually do.

Wang et al. 2021, arXiv 2010.05874, equations 2 and 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.pcgrad import others

CLOSEST = 1 - 1e-6
"""Targets stay within +-CLOSEST: to reach a cosine of 1 would take a weight without bound."""


class GradVac(Combiner):
    """d = sum_i p_i; p_i is g_i plus as much of each g_j as brings cos(p_i, g_j) up to a target.

    The target of a pair of tasks is the running mean of that cosine, 0 at first, which is PCGrad; a pair
    keeps it while one of the two is away. The others come in an order drawn anew for each i.
    """

    class Options(Options):
        """The targets."""

        beta: float = Field(0.01, gt=0, le=1, description="share of a new cosine in the running mean")
        target: float | None = Field(None, ge=-1, le=1, description="one target for all pairs, for good")

    options: Options
    name = "gradvac"

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._targets: dict[tuple[int, int], float] = {}

    def weights(self, gradients: Gradients) -> Doubles:
        n = len(gradients)
        total = np.zeros(n)
        for i in range(n):
            total += self._turned(gradients, i)
        return total

    def _turned(self, gradients: Gradients, i: int) -> Doubles:
        gram, norms, tasks = gradients.gram, gradients.norms, gradients.tasks
        weights = np.zeros(len(gram))
        weights[i] = 1
        for j in others(len(gram), i, gradients.rng):
            own = float(np.sqrt(np.maximum(weights @ gram @ weights, 0.0)))
            if own == 0 or norms[j] == 0:
                continue
            cosine = float(np.clip(gram[j] @ weights / (own * norms[j]), -1, 1))
            weights[j] += own / norms[j] * turn(cosine, self._target((tasks[i], tasks[j]), cosine))
        return weights

    def _target(self, pair: tuple[int, int], cosine: float) -> float:
        """The target of a pair, which then takes in its new cosine."""
        before, beta = self._targets.get(pair, 0.0), self.options.beta
        self._targets[pair] = (1 - beta) * before + beta * cosine
        return before if self.options.target is None else self.options.target

    def state(self) -> dict[str, Any]:
        pairs = np.array(list(self._targets), dtype=np.int64).reshape(-1, 2)
        return {"pairs": pairs, "targets": np.array(list(self._targets.values()), dtype=np.float64)}

    def load(self, state: dict[str, Any]) -> None:
        pairs = map(tuple, state["pairs"].tolist())
        self._targets = dict(zip(pairs, state["targets"].tolist(), strict=True))


def turn(cosine: float, target: float) -> float:
    """How much of the other unit vector brings the cosine of a unit vector with it up to `target`."""
    if cosine >= target:
        return 0.0
    target = min(max(target, -CLOSEST), CLOSEST)
    across = float(np.sqrt(1 - target**2))
    return (target * float(np.sqrt(1 - cosine**2)) - cosine * across) / across
