"""Who gets which rows of the training set: equal shards, unequal shares of each class, or whole classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpidcl.errors import ExperimentError
from mpidcl.randomness import EVERYBODY, numpy_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mpidcl.stream.tasks import Indices

    Called = Callable[[int], str]


def iid_shard(rows: int, seed: int, member: int, members: int) -> Indices:
    """Rows [~rows / members] of one of `members` equal shards of a shuffled training set of `rows` rows."""
    order = numpy_generator(seed, EVERYBODY, "shards").permutation(rows)
    return np.array_split(order, members)[member]


def dirichlet_shard(
    labels: Indices, seed: int, member: int, members: int, alpha: float, least: int, called: Called = str
) -> Indices:
    """Rows of one member when each class is dealt in proportions ~ Dirichlet(alpha) (Yurochkin et al. 2019).

    labels [N]: class ids of the training set; `called` gives their names for an error. Every member first
    gets `least` rows of each class, so that no task is empty; the rest is dealt by proportion. Shards are
    disjoint and cover the training set.
    Raises ExperimentError when a class has fewer than members * least rows.
    """
    shards = []
    for class_id in np.unique(labels).tolist():
        generator = numpy_generator(seed, EVERYBODY, f"shards of class {class_id}")
        rows = generator.permutation(np.flatnonzero(labels == class_id))
        if len(rows) < members * least:
            raise ExperimentError(
                f"`stream.least_per_class` x agents should be at most {len(rows)}, the training rows of "
                f"class {called(class_id)}. Found {least} x {members}. Lower it, or take fewer agents."
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


def classes_of(classes: Sequence[int], member: int, members: int) -> dict[int, tuple[int, int]]:
    """Which classes of a task one member gets when they are dealt round, and which shard of how many of each.

    Of at least as many classes as members: those whose place in the list is `member` modulo `members`, whole.
    Of fewer: one class, which the members whose numbers agree modulo the number of classes share.
    """
    if len(classes) >= members:
        return dict.fromkeys(classes[member::members], (0, 1))
    place, shard = member % len(classes), member // len(classes)
    return {classes[place]: (shard, len(range(place, members, len(classes))))}


def class_shard(
    labels: Indices, tasks: Sequence[tuple[int, ...]], seed: int, member: int, members: int
) -> Indices:
    """Rows of one member when the classes of each of `tasks` are dealt round, as `classes_of` says.

    labels [N]: class ids of the training set. A class should stand in one task, or in each task at the same
    place among the same classes: then shards are disjoint, and cover all rows of these classes.
    """
    shards = [np.empty(0, dtype=np.int64)]
    for classes in dict.fromkeys(tasks):
        for class_id, (shard, shards_of_it) in classes_of(classes, member, members).items():
            generator = numpy_generator(seed, EVERYBODY, f"shards of class {class_id}")
            rows = generator.permutation(np.flatnonzero(labels == class_id))
            shards.append(np.array_split(rows, shards_of_it)[shard])
    return np.concatenate(shards)


def split(rows: Indices, generator: np.random.Generator, validation_share: float) -> tuple[Indices, Indices]:
    """Shuffled training and validation rows: the last `validation_share` of the shuffled list validates."""
    shuffled = generator.permutation(rows)
    cut = len(rows) - int(len(rows) * validation_share)
    return shuffled[:cut], shuffled[cut:]
