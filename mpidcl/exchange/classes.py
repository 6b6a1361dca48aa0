"""Names of classes that mean the same to every agent: oracle information (DCL, arXiv 2405.17466).

A key stands for (data set, global class id). Agents that use keys know more than their own stream
tells them; options that need keys say so.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mpidcl.stream.tasks import Task

Keys = NDArray[np.uint32]


def class_key(dataset: str, class_id: int) -> int:
    """Key of a global class: the same on every agent and in every process."""
    return zlib.crc32(f"{dataset}/{class_id}".encode())


@dataclass(frozen=True)
class TaskClasses:
    """The classes of one task: `labels` [C] inside the head, ascending, and their `keys` [C]."""

    labels: NDArray[np.int64]
    keys: Keys

    def keys_of(self, y: NDArray[np.int64]) -> Keys:
        """Keys [n] of labels y [n] of this task."""
        return self.keys[np.searchsorted(self.labels, y)]

    def labels_of(self, keys: Keys) -> NDArray[np.int64]:
        """Labels [n] of keys [n]; -1 where the class is not of this task."""
        order = np.argsort(self.keys)
        place = np.minimum(np.searchsorted(self.keys[order], keys), len(order) - 1)
        found = self.keys[order][place] == keys
        return np.where(found, self.labels[order[place]], -1)


def task_classes(task: Task) -> TaskClasses:
    """The classes of a stream's task, `task.labels[i]` standing for class `task.classes[i]`."""
    order = np.argsort(task.labels)
    keys = np.array([class_key(task.dataset, c) for c in task.classes], np.uint32)
    return TaskClasses(np.array(task.labels, np.int64)[order], keys[order])
