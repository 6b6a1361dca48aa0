"""MaxDO: each gradient is stood for by a mixture of the others (Lyu et al. 2023, ICCV).

"Measuring Asymmetric Gradient Discrepancy in Parallel Continual Learning". Read from the authors' public
code, in which not everything could be seen: a reconstruction.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.shortest import shortest_step


class MaxDO(Combiner):
    """w = column sums of A + diag(mu) over n + 1: mu are MGDA's weights, row i of A mixes the others.

    A has rows with sum 1 and a diagonal of 0; a few gradient steps on its logits make the discrepancy
    |x_i - g_i| / (|x_i - g_i| + |g_i|) of x_i = sum_j A_ij g_j smaller.
    """

    class Options(Options):
        """How the mixtures are found."""

        rounds: int = Field(5, ge=0, le=10_000, description="gradient steps on the mixtures")
        lr: float = Field(5.0, gt=0, description="their size")

    options: Options
    name = "maxdo"
    kernels = ("simplex",)

    def weights(self, gradients: Gradients) -> Doubles:
        gram, n = gradients.gram, len(gradients)
        logits = np.zeros((n, n))
        for _ in range(self.options.rounds):
            logits -= self.options.lr * slope(gram, mixtures(logits))
        shares = shortest_step(gram, np.ones(n))
        return np.asarray((mixtures(logits).sum(0) + shares) / (n + 1))


def mixtures(logits: Doubles) -> Doubles:
    """Rows of sum 1 with a diagonal of 0: a softmax over the others [n, n]."""
    masked = logits.copy()
    np.fill_diagonal(masked, -np.inf)
    sizes = np.exp(masked - masked.max(1, keepdims=True))
    return np.asarray(sizes / sizes.sum(1, keepdims=True))


def slope(gram: Doubles, mixed: Doubles) -> Doubles:
    """Slope of the summed discrepancies by the logits [n, n]."""
    apart = mixed - np.eye(len(gram))  # x_i - g_i in terms of the gradients
    across = apart @ gram
    distance = np.sqrt(np.maximum((apart * across).sum(1), 0.0))
    bottom = distance * (distance + np.sqrt(gram.diagonal())) ** 2
    # d D / d A = |g| / (r + |g|)^2 * G (A - e) / r; 0 where the mixture is the gradient.
    scale = np.divide(np.sqrt(gram.diagonal()), bottom, out=np.zeros(len(gram)), where=bottom > 0)
    down = across * scale[:, None]
    return np.asarray(mixed * (down - (mixed * down).sum(1, keepdims=True)))
