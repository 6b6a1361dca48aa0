"""RLW: weights at random (Lin et al. 2022, arXiv 2111.10603)."""

from __future__ import annotations

import numpy as np

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients


class RLW(Combiner):
    """Random loss weighting: w = softmax of standard normal numbers, drawn anew at each step."""

    name = "rlw"

    def weights(self, gradients: Gradients) -> Doubles:
        return softmax(gradients.rng.normal(size=len(gradients)))


def softmax(values: Doubles) -> Doubles:
    """exp(values) over their sum [n]."""
    sizes = np.exp(values - values.max())
    return np.asarray(sizes / sizes.sum())
