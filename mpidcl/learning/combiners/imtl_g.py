"""IMTL-G: the direction with equal projections on all gradients.

Liu et al. 2021, ICLR, "Towards Impartial Multi-task Learning".
"""

from __future__ import annotations

import numpy as np

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.spectrum import pseudo_inverse


class IMTLG(Combiner):
    """w = v / sum(v), v = G^+ (||g_1||, ..., ||g_n||): <g_i, d> / ||g_i|| is the same for all i.

    Weights may be negative and, among gradients that nearly oppose each other, large. Where sum(v) is 0,
    as for two that do oppose, no such direction exists, and the weights are 0.
    """

    name = "imtl_g"

    def weights(self, gradients: Gradients) -> Doubles:
        gram, norms = gradients.gram, gradients.norms
        if not gram.any():
            return np.zeros(len(gram))
        v = pseudo_inverse(gram, norms)
        total = v.sum()
        return v / total if abs(total) > 1e-9 * np.abs(v).sum() else np.zeros(len(gram))
