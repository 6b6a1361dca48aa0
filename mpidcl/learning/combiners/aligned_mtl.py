"""Aligned-MTL: gradients made orthogonal and of one length (Senushkin et al. 2023, CVPR, algorithm 1)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.spectrum import singular_values, spectrum
from mpidcl_kernels.gram import cosine_matrix


class AlignedMTL(Combiner):
    """w = s V L^(-1/2) V' u with G = V L V', u = 1/n: the mean of the nearest orthogonal system of gradients.

    Its axes have the length s: the least singular value that is not 0, their median (of two in the middle the
    smaller, as published), or their quadratic mean.
    """

    class Options(Options):
        """Length of the aligned gradients."""

        scale: Literal["min", "median", "mean"] = Field(
            "min", description="least, median or quadratic mean of the singular values"
        )

    options: Options
    name = "aligned_mtl"

    def weights(self, gradients: Gradients) -> Doubles:
        u, norms = np.full(len(gradients), 1 / len(gradients)), gradients.norms
        longest = norms.max()
        if not longest:
            return u
        # In coordinates [k] of what the unit gradients span, gradient i is norms_i vectors_i root.
        values, vectors = spectrum(cosine_matrix(gradients.gram))
        root = np.sqrt(values)
        left, singular, right = singular_values((norms / longest)[:, None] * vectors * root)
        aligned = longest * self._length(singular) * (right @ (left.T @ u))
        return np.asarray(vectors @ (aligned / root) / np.where(norms > 0, norms, 1.0) * (norms > 0))

    def _length(self, singular: Doubles) -> float:
        if self.options.scale == "mean":
            return float(np.sqrt((singular**2).mean()))
        return float(singular[-1 if self.options.scale == "min" else len(singular) // 2])
