"""ConFIG: conflict-free inverse gradients (Liu, Chu and Thuerey 2024, arXiv 2408.11104)."""

from __future__ import annotations

import numpy as np

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.spectrum import even_weights


class ConFIG(Combiner):
    """The direction with equal cosines to all gradients, as long as their projections on it together.

    Unit rows U: d = (sum_i <g_i, e>) e, e = U^+ 1 / ||U^+ 1||. Gradients of zeros have weight 0.
    """

    name = "config"

    def weights(self, gradients: Gradients) -> Doubles:
        gram, unit = gradients.gram, even_weights(gradients.gram)
        if not unit.any():
            return unit
        return np.asarray((gram @ unit).sum() / (unit @ gram @ unit) * unit)
