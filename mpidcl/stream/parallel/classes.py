"""Which classes the tasks of a parallel stream have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpidcl.errors import ExperimentError

if TYPE_CHECKING:
    from mpidcl.stream.datasets.base import Info
    from mpidcl.stream.parallel.options import ParallelOptions


def deal_classes(
    options: ParallelOptions, info: Info, rng: np.random.Generator
) -> tuple[tuple[int, ...], ...]:
    """Distinct class ids of each task: a permutation of all classes, cut.

    Raises ExperimentError when the tasks want more classes than the data set has.
    """
    counts = _counts(options, info)
    order = rng.permutation(info.classes)[: sum(counts)]
    return tuple(tuple(int(c) for c in part) for part in np.split(order, np.cumsum(counts)[:-1]))


def _counts(options: ParallelOptions, info: Info) -> list[int]:
    """Classes of each task; of all classes the last tasks get one more where they cannot be divided."""
    tasks, given, total = options.tasks, options.classes_per_task, info.classes
    if given is None:
        counts = [(total + t) // tasks for t in range(tasks)]
    else:
        counts = [given] * tasks if isinstance(given, int) else list(given)
    if len(counts) != tasks:
        raise ExperimentError(
            f"`stream.classes_per_task` should be one number, or a list of {tasks}, one for each task."
            f" Found a list of {len(counts)}."
        )
    if min(counts) < 1 or sum(counts) > total:
        raise ExperimentError(
            f"The {tasks} tasks should share the {total} classes of {info.name}: each has one at least, and"
            f" no class comes twice. Found tasks of {', '.join(map(str, counts))} classes. Lower"
            " `stream.tasks` or `stream.classes_per_task`."
        )
    return counts
