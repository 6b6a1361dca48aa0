"""IMTL-G: the direction with equal projections on all gradients.

Liu et al. 2021, ICLR, "Towards Impartial Multi-task Learning".
"""

from __future__ import annotations

import numpy as np

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.spectrum import even_weights


class IMTLG(Combiner):
    """w = v / sum(v), where sum_i v_i g_i has the product 1 with all unit gradients: equal projections.

    v_i = (C^+ 1)_i / ||g_i|| with C the cosines. Weights may be negative and, among gradients that nearly
    oppose each other, large. Where sum(v) is 0, as for two that do oppose, no such direction exists, and the
    weights are 0.
    """

    name = "imtl_g"

    def weights(self, gradients: Gradients) -> Doubles:
        v = even_weights(gradients.gram)
        total = v.sum()
        return v / total if abs(total) > 1e-9 * np.abs(v).sum() else np.zeros(len(v))
