"""Which classes each task of an agent has."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.errors import ExperimentError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw_classes(
    generator: np.random.Generator | None,
    classes: int,
    tasks: int,
    per_task: int,
    replacement: bool,
    taken: Collection[int] = (),
) -> list[tuple[int, ...]]:
    """Distinct class ids of each task, in the order of their labels.

    Without replacement a random permutation of the classes is cut into tasks; with replacement each task
    draws on its own, so that a class may come again. Without a generator the classes are cut in the order of
    their ids. Classes in `taken` are left out. More tasks do not change the draws of earlier ones.
    Raises ExperimentError when there are not enough classes.
    """
    if tasks == 0:
        return []
    left = np.array([c for c in range(classes) if c not in taken])
    if per_task > len(left):
        raise ExperimentError(
            f"`stream.classes_per_task` should be at most {len(left)}, the classes of the data set. "
            f"Found {per_task}."
        )
    if replacement and generator is not None:
        return [_ids(generator.permutation(left)[:per_task]) for _ in range(tasks)]
    if tasks * per_task > len(left):
        raise ExperimentError(
            f"`stream.tasks` x `stream.classes_per_task` should be at most {len(left)}, the classes of the "
            f"data set, when `stream.replacement` is false. Found {tasks} x {per_task} = {tasks * per_task}. "
            "Lower one of them, or set `stream.replacement = true`."
        )
    order = left if generator is None else generator.permutation(left)
    return [_ids(order[task * per_task : (task + 1) * per_task]) for task in range(tasks)]


def _ids(array: NDArray[np.integer]) -> tuple[int, ...]:
    return tuple(int(c) for c in array)
