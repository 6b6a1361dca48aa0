"""CAGrad: conflict-averse gradient descent (Liu et al. 2021, arXiv 2110.14048, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.optimize import brentq

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl_kernels.cone import cone_weights
from mpidcl_kernels.simplex import min_norm_weights

CANCELLED = 1e-7
"""A sum of gradients that is shorter than this, beside the sum of their lengths, is rounding of G: its square
is known to 1e-16. It is no matter how long the single gradients are."""


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

    With u = 1/n and w on the simplex, d = g_0 + k g_w: for each k the best w makes ||g_0 + k g_w|| least, and
    k is such that k ||g_w|| = c ||g_0||. That distance grows with k.
    """
    n = len(gram)
    u = np.full(n, 1 / n)
    radius = c * length(gram, u)
    if radius == 0:
        return u
    most = _most(gram, u, radius)
    if most == 0:  # d is in the cone of steps that hurt nobody, on its border, and the ball is no limit
        return np.asarray(cone_weights(gram, u[None])[0])

    def beyond(logarithm: float) -> float:
        k = float(np.exp(logarithm))
        return k * length(gram, added(gram, u, k)) / radius - 1

    least = radius / float(np.sqrt(gram.diagonal().max()))
    k = float(np.exp(root(beyond, float(np.log(least)), float(np.log(most)))))
    return np.asarray(u + k * added(gram, u, k))


def _most(gram: Doubles, u: Doubles, radius: float) -> float:
    """Some k that goes at least as far as `radius`; 0 where none does, as no step helps all."""
    far = cone_weights(gram, u[None])[0]
    if length(gram, far - u) > radius:  # already the nearest step that hurts nobody is outside
        return float((far - u).sum())
    shortest = min_norm_weights(gram)
    size = length(gram, shortest)
    return radius / size if size > CANCELLED * (shortest @ np.sqrt(gram.diagonal())) else 0.0


def added(gram: Doubles, u: Doubles, k: float) -> Doubles:
    """The w [n] on the simplex that makes g_0 + k g_w shortest: the least of the vectors g_i + g_0 / k."""
    product = gram @ u / k
    return np.asarray(min_norm_weights(gram + product[:, None] + product + u @ product / k))


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a growing function is 0, or the end that is nearest to it if rounding left no change of sign."""
    if function(low) >= 0:
        return low
    return high if function(high) <= 0 else float(brentq(function, low, high, xtol=1e-15, rtol=1e-15))


def length(gram: Doubles, weights: Doubles) -> float:
    """||sum_i weights_i g_i||."""
    return float(np.sqrt(np.maximum(weights @ gram @ weights, 0.0)))
