"""A combiner of your own: the tasks with the largest losses first.

w_i = n exp(L_i / temperature) / sum_j exp(L_j / temperature); between the mean and the worst task alone.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.shortest import checked_losses


class WorstFirst(Combiner):
    """Weights grow with the losses."""

    class Options(Options):
        """How much."""

        temperature: float = Field(
            1.0, gt=0, description="difference of losses that makes e times the weight"
        )

    options: Options
    name = "worst-first"

    def weights(self, gradients: Gradients) -> Doubles:
        """Weights [n]; every agent must find the same ones, from `gradients` alone."""
        losses = checked_losses(gradients, self.name) / self.options.temperature
        sizes = np.exp(losses - losses.max())
        return np.asarray(len(gradients) * sizes / sizes.sum())
