"""The learned precision Theta of group models as numbers, and the one of the true models.

Theta* = C^-1, C = (W* - m1')'(W* - m1') / d + rho I, of true models W* [d, K] about their mean m, in which a
group counts by its agents; rho and the ends of its eigenvalues are the defaults of the exchange `relation`.
So Theta* is where the form `logdet` would come to with the true models, whatever form was learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpidcl.learning.linear.relation import RelationOptions
from mpidcl.record.records import AgentRecord
from mpidcl.views.regression.numbers import ESTIMATES, group_of
from mpidcl_kernels.precision import clip_spectrum, relation_precision

Doubles = NDArray[np.float64]
RELATION = "relation"
"""Table of a messenger and of a deputy."""


@dataclass(frozen=True)
class Learned:
    """Theta [K, K] of the first agent of a group that has heard of all others, and has taken a step."""

    agent: int
    group: int
    theta: Doubles


@dataclass(frozen=True)
class Relations:
    """What messengers have learned, in order of their groups, at least one; and Theta*, None: not known."""

    learned: tuple[Learned, ...]
    true: Doubles | None

    @property
    def first(self) -> Learned:
        """The one that is shown."""
        return self.learned[0]

    @property
    def error(self) -> float:
        """|Theta - Theta*|_F / |Theta*|_F of the first one; NaN where the truth is not known."""
        return math.nan if self.true is None else _distance(self.first.theta, self.true)

    @property
    def edges_found(self) -> float:
        """Share of the K strongest true edges that are among the K strongest learned ones.

        NaN where the truth is not known, and for K <= 3, where there are no other edges.
        """
        if self.true is None:
            return math.nan
        return found_among(strengths(self.first.theta), strengths(self.true), len(self.true))

    @property
    def spread(self) -> float:
        """Largest distance |Theta - Theta_1|_F / |Theta_1|_F of a messenger from the first."""
        return max(_distance(one.theta, self.first.theta) for one in self.learned)


def relations(records: Sequence[AgentRecord]) -> Relations | None:
    """Of the agents of one run; None where no messenger has learned a relation."""
    found: dict[int, Learned] = {}
    for record in sorted(records, key=lambda one: one.agent):
        if _complete(record):
            group = group_of(record)
            theta = np.asarray(record.tables[RELATION]["theta"], np.float64)
            found.setdefault(group, Learned(record.agent, group, theta))
    if not found:
        return None
    learned = tuple(one for _, one in sorted(found.items()))
    return Relations(learned, true_relation(records, len(learned[0].theta)))


def _complete(record: AgentRecord) -> bool:
    """Whether its Theta was learned: before its first step, on what it has heard of all groups, it is I."""
    if not record.has(RELATION):
        return False
    table = record.tables[RELATION]
    theta, heard = np.asarray(table["theta"]), np.asarray(table["heard"], np.float64)
    return bool((heard >= 0).all()) and (len(theta) == 1 or not np.array_equal(theta, np.eye(len(theta))))


def true_relation(records: Sequence[AgentRecord], groups: int) -> Doubles | None:
    """Theta* [K, K] of so many groups; None where the model of one is not known."""
    truth: dict[int, Doubles] = {}
    sizes = np.zeros(groups)
    for record in records:
        if record.has(ESTIMATES):
            truth[group_of(record)] = np.asarray(record.tables[ESTIMATES]["truth"][0], np.float64)
            sizes[group_of(record)] += 1
    if len(truth) < groups or not all(np.isfinite(one).all() for one in truth.values()):
        return None
    models: Doubles = np.array([truth[group] for group in range(groups)])
    around, defaults = models - sizes @ models / sizes.sum(), RelationOptions()
    theta = relation_precision(np.ascontiguousarray(around.T), "logdet", defaults.ridge)
    return clip_spectrum(theta, defaults.least, defaults.most)


def partial_correlations(theta: Doubles) -> Doubles:
    """-Theta_kl / sqrt(Theta_kk Theta_ll) [K, K]: positive where two groups attract each other.

    NaN on the diagonal, and 0 in rows of groups that nothing holds.
    """
    root = np.sqrt(np.maximum(np.diag(theta), 0.0))
    scale = np.outer(root, root)
    found: Doubles = np.divide(-theta, scale, out=np.zeros_like(theta), where=scale > 0)
    np.fill_diagonal(found, np.nan)
    return found


def strengths(theta: Doubles) -> Doubles:
    """|partial correlation| of each two groups [K (K - 1) / 2]."""
    found: Doubles = np.abs(partial_correlations(theta)[np.triu_indices(len(theta), 1)])
    return found


def found_among(learned: Doubles, true: Doubles, count: int) -> float:
    """Share of the `count` largest of `true` [n] that are among the `count` largest of `learned` [n].

    Where several learned ones share the last places, each has its part of them. NaN for n <= count.
    """
    if len(true) <= count:
        return math.nan
    wanted = np.argsort(-true, kind="stable")[:count]
    last = np.sort(learned)[-count]
    level = 1e-9 * max(float(learned.max()), 1e-300)
    above, at = learned > last + level, np.abs(learned - last) <= level
    share = np.where(above, 1.0, np.where(at, (count - above.sum()) / at.sum(), 0.0))
    return float(share[wanted].mean())


def _distance(one: Doubles, other: Doubles) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))
