"""Aligned-MTL: gradients made orthogonal and of one length (Senushkin et al. 2023, CVPR, algorithm 1)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.spectrum import spectrum
from mpidcl.options import Options


class AlignedMTL(Combiner):
    """w = s V L^(-1/2) V' u with G = V L V', u = 1/n: the mean of the nearest orthogonal system of gradients.

    Its axes have the length s: the least singular value that is not 0, their median, or their quadratic mean.
    """

    class Options(Options):
        """Length of the aligned gradients."""

        scale: Literal["min", "median", "mean"] = Field(
            "min", description="least, median or quadratic mean of the singular values"
        )

    options: Options
    name = "aligned_mtl"

    def weights(self, gradients: Gradients) -> Doubles:
        u = np.full(len(gradients), 1 / len(gradients))
        if not gradients.gram.any():
            return u
        values, vectors = spectrum(gradients.gram)
        square = {"min": values[0], "median": np.median(values), "mean": values.mean()}[self.options.scale]
        return np.asarray(np.sqrt(square) * (vectors @ ((vectors.T @ u) / np.sqrt(values))))
