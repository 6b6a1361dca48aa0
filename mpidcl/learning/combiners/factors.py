"""How fast each loss should fall beside the others: logarithms of the elastic factors.

Each function makes log sigma [n], up to a constant, from (gradients, options of `elastic`, running means of
the lengths before this step, and with it). -inf: the gradient is zero, no step changes its loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mpidcl.learning.combiners.base import Doubles, Gradients
from mpidcl.learning.combiners.shortest import checked_losses
from mpidcl_kernels.gram import cosine_matrix

Factors = Callable[[Gradients, Any, Doubles, Doubles], Doubles]


def _log(values: Doubles) -> Doubles:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))


def own_past(gradients: Gradients, options: Any, before: Doubles, now: Doubles) -> Doubles:
    """Length over its mean until now; 1 where there is none, or only zeros."""
    norms = gradients.norms
    ratio = np.divide(norms, before, out=np.ones(len(norms)), where=before > 0)
    return np.asarray(ratio / options.tau)


def agreement(gradients: Gradients, options: Any, before: Doubles, now: Doubles) -> Doubles:
    """Mean cosine with the other gradients."""
    cosines = cosine_matrix(gradients.gram)
    others = cosines.sum(1) - cosines.diagonal()
    return np.asarray(others / max(len(gradients) - 1, 1) / options.tau)


SIGMA_LOSS = 'elastic, sigma = "loss"'
LOG_SIGMA: dict[str, Factors] = {
    "ones": lambda gradients, options, before, now: np.zeros(len(gradients)),
    "norm": lambda gradients, options, before, now: _log(gradients.norms),
    "ema_norm": lambda gradients, options, before, now: _log(now),
    "softmax_ema": lambda gradients, options, before, now: now / options.tau,
    "loss": lambda gradients, options, before, now: _log(checked_losses(gradients, SIGMA_LOSS)),
    "gmc": own_past,
    "gs": agreement,
}

RANGE = 300.0
"""A factor is at least exp(-RANGE) of the largest: smaller ones would be 0 where they are squared."""
FAR = 1e6
"""Stands for an infinite logarithm, that of a loss of 0: beyond all others, whatever the power."""


def elastic_factors(gradients: Gradients, options: Any, before: Doubles, now: Doubles) -> Doubles:
    """Factors [n] with sum 1: positive, but 0 for gradients of zeros; all alike if there are no others."""
    n = len(gradients)
    moving = gradients.gram.diagonal() > 0
    logarithm = LOG_SIGMA[options.sigma](gradients, options, before, now)
    if not moving.any():
        return np.full(n, 1 / n)
    logarithm = options.sigma_power * logarithm[moving].clip(-FAR)
    sigma = np.zeros(n)
    sigma[moving] = np.exp((logarithm - logarithm.max()).clip(-RANGE))
    return np.asarray(sigma / sigma.sum())
