"""How groups are related: the outer step of Theta, and the pull that a group feels from the others.

    C <- (Z - m1')'(Z - m1') / d + rho I                     Z [d, K]: group means by their own data alone;
    Theta <- clip((1 - beta) Theta + beta Theta(C))          m: their common mean; any form of the relation
    W - m1' = (Z - m1') (I + lam_G Theta)^-1
    pull_k = lam_G (sum_{l != k} Theta_kl (w_l - m) - Theta_kk m),   own_k = lam_G Theta_kk

A node adds own_k w_i + pull_k to its slope: lam_G times the gradient of tr((W - m1') Theta (W - m1')') / 2
with its own model in place of the mean of its group. W is where that term draws the means: the minimum of
|W - Z|^2 / 2 with it. DAMTL as reconstructed; the forms are those of `mpidcl_kernels.precision`, all on the
scale tr(Theta C) = K, on which one lam_G means the same for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options
from mpidcl.learning.linear.strength import Settling, least_error, scatter
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
        description="lam_G, the weight of the relation in a step; not given: the one with the least"
        " expected error",
    )
    noise: Literal["leave", "subtract"] = Field(
        default="leave",
        description="subtract: the noise of the group means is taken off their covariance, so that Theta is"
        " the precision of the true ones and not of those that are told",
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
    """Theta [K, K] of one messenger, which begins as the identity. `unsolved` counts steps left out.

    sizes [K]: agents in each group, by which the common mean is weighted.
    """

    def __init__(self, options: RelationOptions, sizes: Sequence[int]) -> None:
        self.options = options
        groups = len(sizes)
        shares = np.array(sizes, np.float64) / sum(sizes)
        self._shares: Doubles = shares if options.mean == "learned" else np.zeros(groups)
        self.theta: Doubles = np.eye(groups)
        self.unsolved = 0
        self._graph = laplacian_of(options.graph, groups) if options.form == "fixed" else None

    def step(self, means: Doubles, noises: Doubles) -> None:
        """One outer step on means [K, d], each number of which has noise of variance `noises [K]`.

        A step that an iterative form does not solve is left out and counted. Raises ExperimentError for
        means beside which the ridge is nothing.
        """
        options = self.options
        around = (means - self._shares @ means).T
        if not finite(around):
            return  # the agent says that its model is no longer finite
        if options.noise == "subtract":
            around = root_of(scatter(means, noises, self._shares))
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

    def strength(self, group: int, means: Doubles, noises: Doubles, settling: Settling) -> float:
        """lam_G: what is given, else the one with the least expected error."""
        if self.options.strength is not None:
            return self.options.strength
        if not finite(means):
            return 0.0
        return least_error(self.theta, scatter(means, noises, self._shares), group, settling)

    def pull(self, group: int, means: Doubles, strength: float) -> tuple[float, Doubles]:
        """What a member of `group` adds to its slope: (own, pull [d]), own times its model plus pull."""
        centre = self._shares @ means
        drawn = np.linalg.solve(np.eye(len(means)) + strength * self.theta, means - centre)
        row = self.theta[group].copy()
        own, row[group] = row[group], 0.0
        return float(strength * own), strength * (row @ drawn - own * centre)


def finite(means: Doubles) -> bool:
    """Whether the squares of means and their sum are numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.vdot(means, means)))


def root_of(covariance: Doubles) -> Doubles:
    """Means W [K, K] with W'W / K = `covariance`."""
    values, directions = np.linalg.eigh(covariance)
    found: Doubles = np.sqrt(len(values) * values.clip(0))[:, None] * directions.T
    return found


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
