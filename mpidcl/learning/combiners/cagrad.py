"""CAGrad: conflict-averse gradient descent (Liu et al. 2021, arXiv 2110.14048, algorithm 1)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.optimize import brentq

from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.options import Options
from mpidcl_kernels.cone import cone_weights
from mpidcl_kernels.simplex import elastic_weights

LEAST = 1e-5
"""Least share of the mean gradient in the direction that is looked for: beyond, no common descent is left."""


class CAGrad(Combiner):
    """d maximises min_i <g_i, d> within ||d - g_0|| <= c ||g_0||, where g_0 is the mean gradient.

    c = 0 is the mean; the larger c, the nearer to MGDA. Where the best is min_i <g_i, d> = 0, which many
    directions may share, d is the nearest of them to g_0.
    """

    class Options(Options):
        """How far the direction may be from the mean gradient."""

        c: float = Field(0.5, ge=0, description="radius, relative to the length of the mean gradient")
        rescale: Literal["none", "1+c", "1+c^2"] = Field(
            "none", description="divide the direction by this (LibMTL: 1+c^2)"
        )

    options: Options
    name = "cagrad"
    kernels = ("simplex", "cone")

    def weights(self, gradients: Gradients) -> Doubles:
        c = self.options.c
        scale = {"none": 1.0, "1+c": 1 + c, "1+c^2": 1 + c**2}[self.options.rescale]
        return within(gradients.gram, c) / scale


def within(gram: Doubles, c: float) -> Doubles:
    """Weights [n] of the direction.

    With u = 1/n and v = u + k w, w on the simplex, the dual is min v'G v over v >= u with sum v = 1 + k, and
    k is such that ||d - g_0|| = c ||g_0||. The distance grows with k; s = 1/(1 + k) is what is looked for.
    """
    n = len(gram)
    u = np.full(n, 1 / n)
    radius = c * length(gram, u)
    if radius == 0 or not gram.any():
        return u

    def beyond(logarithm: float) -> float:
        return length(gram, _of_share(gram, np.exp(logarithm)) - u) - radius

    least = float(np.log(LEAST))
    if beyond(least) < 0:  # however large k is: d is in the cone of common descent, on its border
        return np.asarray(cone_weights(gram, u[None])[0])
    return _of_share(gram, np.exp(brentq(beyond, least, 0.0, xtol=1e-15, rtol=1e-15)))


def length(gram: Doubles, weights: Doubles) -> float:
    """||sum_i weights_i g_i||."""
    return float(np.sqrt(np.maximum(weights @ gram @ weights, 0.0)))


def _of_share(gram: Doubles, share: float) -> Doubles:
    return np.asarray(elastic_weights(gram, None, share / len(gram), safe=False) / share)
