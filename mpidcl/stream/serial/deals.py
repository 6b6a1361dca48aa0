"""Who gets which rows of the training set: equal shards, or shards with unequal shares of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpidcl.errors import ExperimentError
from mpidcl.randomness import EVERYBODY, numpy_generator

if TYPE_CHECKING:
    from mpidcl.stream.tasks import Indices


def iid_shard(rows: int, seed: int, member: int, members: int) -> Indices:
    """Rows [~rows / members] of one of `members` equal shards of a shuffled training set of `rows` rows."""
    order = numpy_generator(seed, EVERYBODY, "shards").permutation(rows)
    return np.array_split(order, members)[member]


def dirichlet_shard(
    labels: Indices, seed: int, member: int, members: int, alpha: float, least: int
) -> Indices:
    """Rows of one member when each class is dealt in proportions ~ Dirichlet(alpha) (Yurochkin et al. 2019).

    labels [N]: class ids of the training set. Every member first gets `least` rows of each class, so that
    no task is empty; the rest is dealt by proportion. Shards are disjoint and cover the training set.
    Raises ExperimentError when a class has fewer than members * least rows.
    """
    shards = []
    for class_id in np.unique(labels).tolist():
        generator = numpy_generator(seed, EVERYBODY, f"shards of class {class_id}")
        rows = generator.permutation(np.flatnonzero(labels == class_id))
        if len(rows) < members * least:
            raise ExperimentError(
                f"`stream.least_per_class` x agents should be at most {len(rows)}, the training rows of "
                f"class {class_id}. Found {least} x {members}. Lower it, or take fewer agents."
            )
        ends = _ends(generator.dirichlet(np.full(members, alpha)), len(rows), least)
        shards.append(rows[ends[member] : ends[member + 1]])
    return np.concatenate(shards)


def _ends(proportions: np.ndarray[tuple[int], np.dtype[np.float64]], rows: int, least: int) -> Indices:
    """Borders [members + 1] between the shards of one class."""
    members = len(proportions)
    rest = rows - members * least
    dealt = np.rint(np.cumsum(proportions) * rest).astype(np.int64)
    dealt[-1] = rest  # the proportions sum to 1 only up to rounding
    return np.concatenate([[0], dealt + least * np.arange(1, members + 1)])


def split(rows: Indices, generator: np.random.Generator, validation_share: float) -> tuple[Indices, Indices]:
    """Shuffled training and validation rows: the last `validation_share` of the shuffled list validates."""
    shuffled = generator.permutation(rows)
    cut = len(rows) - int(len(rows) * validation_share)
    return shuffled[:cut], shuffled[cut:]
