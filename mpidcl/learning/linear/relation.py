"""How groups are related: the outer step of Theta, and the pull that a group feels from the others.

    C <- (W - m1')'(W - m1') / d + rho I                     W [d, K]: group means; m: their common mean
    Theta <- clip((1 - beta) Theta + beta Theta(C))          for any form of the relation
    pull_k = lam_G (sum_{l != k} Theta_kl (w_l - m) - Theta_kk m),   own_k = lam_G Theta_kk

A node adds own_k w_i + pull_k to its slope: lam_G times the gradient of tr((W - m1') Theta (W - m1')') / 2
with its own model in place of the mean of its group. DAMTL as reconstructed; the forms are those of
`mpidcl_kernels.precision`, all on the scale tr(Theta C) = K, on which one lam_G means the same for each.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options
from mpidcl_kernels.precision import (
    NoInverse,
    NotConverged,
    damped_update,
    gradient_update,
    relation_covariance,
    relation_precision,
)

Doubles = NDArray[np.float64]
Pair = Annotated[tuple[int, int], Field(strict=False)]


class RelationOptions(Options):
    """Options of `kind = "relation"`."""

    form: Literal["logdet", "trace-one", "sparse", "laplacian", "fixed", "identity"] = Field(
        default="logdet",
        description="Theta from the group means: their precision (logdet), trace-one, sparse or laplacian;"
        " fixed: the Laplacian of `graph`; identity: every group is drawn to the common mean alike",
    )
    mean: Literal["learned", "zero"] = Field(
        default="learned",
        description="what models are related about: the common mean of all groups, or zero",
    )
    strength: float | None = Field(
        default=None,
        ge=0,
        description="lam_G, the weight of the relation in a step; not given: lr * s^2 / 2 * the share of the"
        " noise that the group's coupling leaves, s^2 the mean of its squared residuals",
    )
    ridge: float = Field(
        default=0.01, gt=0, description="rho, added to the diagonal of the means' covariance"
    )
    lam_1: float = Field(default=0.1, ge=0, description="sparse and laplacian: weight of the L1 norm")
    graph: Literal["complete", "ring"] | Annotated[tuple[Pair, ...], Field(strict=False)] = Field(
        default="complete", description="fixed: which groups are related, or pairs [[0, 1], [1, 2]]"
    )
    step: Literal["damped", "gradient"] = Field(
        default="damped", description="of Theta: towards the closed form, or down the slope (logdet alone)"
    )
    beta: float = Field(default=0.1, gt=0, le=1, description="length of that step")
    least: float = Field(default=0.05, ge=0, description="smallest eigenvalue of Theta; laplacians: 0")
    most: float = Field(default=20.0, gt=0, description="largest eigenvalue of Theta")


SINGULAR = ("laplacian", "fixed")
"""Forms that leave equal models free: their smallest eigenvalue is 0 by design."""


class Relation:
    """Theta [K, K] of one messenger, which begins as the identity. `unsolved` counts steps left out."""

    def __init__(self, options: RelationOptions, groups: int) -> None:
        self.options = options
        self.theta: Doubles = np.eye(groups)
        self.unsolved = 0
        self._graph = laplacian_of(options.graph, groups) if options.form == "fixed" else None

    def step(self, means: Doubles, centre: Doubles) -> None:
        """One outer step on means [K, d] about `centre` [d].

        A step that an iterative form does not solve is left out and counted. Raises ExperimentError for
        means beside which the ridge is nothing.
        """
        options = self.options
        around = (means - centre).T
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(np.vdot(around, around)):
                return  # the agent says that its model is no longer finite
        limits = (0.0 if options.form in SINGULAR else options.least, options.most)
        if options.step == "gradient":
            covariance = relation_covariance(around, options.ridge)
            self.theta = gradient_update(self.theta, covariance, options.beta, limits)
            return
        try:
            target = self._target(around)
        except NotConverged:
            self.unsolved += 1
            return
        except NoInverse:
            raise ExperimentError(
                "`ridge` of the exchange `relation` should be larger: beside it the group means are so large"
                f" that their covariance has no inverse in float64. Found {options.ridge:g}, and means up to"
                f" {np.abs(around).max():.3g} from their centre. Raise `ridge`, or give y another unit."
            ) from None
        self.theta = damped_update(self.theta, target, options.beta, limits)

    def _target(self, around: Doubles) -> Doubles:
        options = self.options
        if options.form in ("fixed", "identity"):
            form = np.eye(around.shape[1]) if self._graph is None else self._graph
            scale = float((form * relation_covariance(around, options.ridge)).sum())
            return form * (len(form) / scale) if scale > 0 else form
        return relation_precision(
            around, options.form, options.ridge, lam_1=options.lam_1, rescale=True, iterations=5000
        )

    def pull(self, group: int, means: Doubles, centre: Doubles, strength: float) -> tuple[float, Doubles]:
        """What a member of `group` adds to its slope: (own, pull [d]), own times its model plus pull."""
        row = self.theta[group].copy()
        own, row[group] = row[group], 0.0
        return float(strength * own), strength * (row @ (means - centre) - own * centre)


def laplacian_of(graph: str | tuple[tuple[int, int], ...], groups: int) -> Doubles:
    """Laplacian [K, K] of a graph of groups with weights 1."""
    if isinstance(graph, tuple):
        pairs = list(graph)
    elif graph == "complete":
        pairs = [(k, m) for m in range(groups) for k in range(m)]
    else:
        pairs = [(k, (k + 1) % groups) for k in range(groups)]
    weights = np.zeros((groups, groups))
    for k, m in pairs:
        weights[k, m] = weights[m, k] = float(k != m)
    return np.diag(weights.sum(1)) - weights
