"""Nash-MTL: the bargaining solution (Navon et al. 2022, arXiv 2202.01017, claim 3.1)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients

ROUNDS = 100
FAR = 1e6
"""Weights of unit gradients beyond this mean that no step helps everybody."""


class NashMTL(Combiner):
    """w > 0 with G w = 1/w, element by element: d maximises the product of the decreases within a ball.

    It is the minimiser of w'G w / 2 - sum log w_i, found by Newton's method to rounding; the published code
    solves a chain of 20 approximate convex problems from the last step's weights. Gradients of zeros have
    weight 0. At a Pareto critical point there is no such w: no bargain, weights 0.
    """

    class Options(Options):
        """How long the direction may be."""

        max_norm: float = Field(1.0, ge=0, description="a longer direction is scaled to this; 0: never")

    options: Options
    name = "nash_mtl"

    def weights(self, gradients: Gradients) -> Doubles:
        weights = np.zeros(len(gradients))
        moving = np.flatnonzero(gradients.gram.diagonal() > 0)
        gram = gradients.gram[np.ix_(moving, moving)]
        if not len(moving):
            return weights
        size = float(np.sqrt((gram**2).sum()))
        found = bargain(gram) * np.sqrt(size)  # that of G over its Frobenius norm
        length = float(np.sqrt(max(found @ gram @ found, 0.0)))
        limit = self.options.max_norm or length
        weights[moving] = found * min(1.0, limit / length) if length else found
        return weights


def bargain(gram: Doubles) -> Doubles:
    """w [n] > 0 with G w = 1/w for a matrix with a positive diagonal; zeros when there is none.

    In rows of length 1, where w is at least about 1/sqrt(n). Damped Newton steps on a self-concordant
    function (Boyd and Vandenberghe 2004, section 9.6) go down from anywhere.
    """
    norms = np.sqrt(gram.diagonal())
    cosines = gram / norms[:, None] / norms[None, :]
    x = np.full(len(gram), len(gram) ** -0.5)
    for _ in range(ROUNDS):
        slope = cosines @ x - 1 / x
        step = np.linalg.solve(cosines + np.diag(x**-2), slope)
        decrement = float(np.sqrt(max(slope @ step, 0.0)))
        x = x - step / (1 + decrement if decrement > 0.25 else 1)
        if x.max() > FAR:
            break
        if decrement < 1e-12:
            return np.asarray(x / norms)
    return np.zeros(len(gram))
