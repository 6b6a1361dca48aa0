"""ConFIG: conflict-free inverse gradients (Liu, Chu and Thuerey 2024, arXiv 2408.11104)."""

from __future__ import annotations

import numpy as np

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.spectrum import pseudo_inverse
from mpidcl_kernels.gram import cosine_matrix


class ConFIG(Combiner):
    """The direction with equal cosines to all gradients, as long as their projections on it together.

    Unit rows U: d = (sum_i <g_i, e>) e, e = U^+ 1 / ||U^+ 1||. Gradients of zeros have weight 0.
    """

    name = "config"

    def weights(self, gradients: Gradients) -> Doubles:
        gram, norms = gradients.gram, gradients.norms
        if not gram.any():
            return np.zeros(len(gram))
        moving = np.asarray(norms > 0, np.float64)
        sizes = np.where(norms > 0, norms, 1.0)
        unit = moving * pseudo_inverse(cosine_matrix(gram), moving) / sizes
        squared = unit @ gram @ unit
        if squared <= 1e-18 * len(norms):
            return np.zeros(len(norms))
        return np.asarray((gram @ unit).sum() / squared * unit)
