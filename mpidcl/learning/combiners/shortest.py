"""The step that MGDA and elastic descent share: the shortest one under factors of which some may be zero."""

from __future__ import annotations

import numpy as np

from mpidcl.errors import ExperimentError
from mpidcl.learning.combiners.base import MEMORY, Doubles, Gradients
from mpidcl_kernels.simplex import elastic_weights


def shortest_step(gram: Doubles, sigma: Doubles, floor: float = 0.0, safe: bool = True) -> Doubles:
    """Weights [n] that minimise 1/2 l'G l with sigma'l = 1, l >= floor; rows with sigma_i = 0 get weight 0.

    The factors `sigma` [n] are not negative. If all are 0 so are all weights.
    """
    weights = np.zeros(len(gram))
    asked = np.flatnonzero(sigma > 0)
    if len(asked):
        weights[asked] = elastic_weights(gram[np.ix_(asked, asked)], sigma[asked], floor, safe)
    return weights


def checked_losses(gradients: Gradients, who: str) -> Doubles:
    """The losses [n], for a method that compares them.

    Raises ExperimentError, naming the task, unless all are given, finite and not negative. Zero is a loss:
    that of a batch whose answers are all certain and right, in float32.
    """
    losses = gradients.losses
    for i in np.flatnonzero(~((losses >= 0) & (losses < np.inf))):
        name = "the memory" if gradients.tasks[i] == MEMORY else f"task {gradients.tasks[i]}"
        if np.isnan(losses[i]):
            raise ExperimentError(
                f"{who} compares losses: it should be given the loss of every gradient. Found none for {name}"
                f" at step {gradients.step}. Pass them as `losses`, or choose a form that does not use losses"
            )
        raise ExperimentError(
            f"{who}: every loss should be finite and not negative. Found {losses[i]:g} for {name}"
            f" at step {gradients.step}. Choose a form that does not use losses"
        )
    return losses
