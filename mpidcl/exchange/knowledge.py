"""What a data exchange knows of its own agent: tasks, classes, pools, and names for them on the wire."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpidcl.exchange.capabilities import SharesModules, SharesRows
from mpidcl.exchange.classes import TaskClasses, task_classes
from mpidcl.network.frames.message import Array

L = TypeVar("L", bound=SharesRows)
Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Tags = NDArray[np.int32]


class Knowledge(Generic[L]):
    """One agent's data as its exchange sees it. Test rows are not part of it.

    A tag is one number for (own task, label inside its head). It travels with a question and comes
    back with the answer, so that nothing has to be remembered between the legs; to anybody else it
    means nothing.
    """

    def __init__(self, learner: L, agent: int) -> None:
        self.learner = learner
        self.agent = agent
        shape = learner.shape
        self.input_shape: tuple[int, ...] = tuple(shape.input_shape)
        self.row_floats = math.prod(self.input_shape)
        self.heads = int(shape.heads)
        self.classes_per_head = int(shape.classes_per_head)
        self._classes: dict[int, TaskClasses] = {}

    @property
    def tasks(self) -> range:
        """Tasks that the agent has begun."""
        return range(len(self.learner.seen))

    def encoders(self) -> list[list[int]]:
        """The agent's tasks, those that share one encoder together: what was encoded for one serves all."""
        groups: dict[int, list[int]] = {}
        for task in self.tasks:
            groups.setdefault(self.learner.encoder_of(task), []).append(task)
        return list(groups.values())

    def asking(self, which: str, task: int) -> list[int]:
        """The tasks of `which` = "all" or "current" at a meeting in `task`."""
        return list(self.tasks) if which == "all" else [u for u in self.tasks if u == task]

    def classes(self, task: int) -> TaskClasses:
        """Labels and keys of the classes of an own task."""
        if task not in self._classes:
            self._classes[task] = task_classes(self.learner.seen[task])
        return self._classes[task]

    def tags(self, task: int, labels: Labels) -> Tags:
        """Tags [n] of labels [n] of one task."""
        return (task * self.classes_per_head + labels).astype(np.int32)

    def untag(self, tags: Array) -> tuple[Labels, Labels]:
        """Tasks [n] and labels [n] of tags [n]."""
        tasks, labels = np.divmod(tags.astype(np.int64), self.classes_per_head)
        return tasks, labels

    def labels_of(self, tasks: Labels, keys: NDArray[np.uint32]) -> Labels:
        """Labels [n] of class keys [n] inside tasks [n]; -1 where a task does not hold the class."""
        labels = np.full(len(tasks), -1, np.int64)
        for task in np.unique(tasks):
            where = tasks == task
            labels[where] = self.classes(int(task)).labels_of(keys[where])
        return labels


RowKnowledge = Knowledge[SharesRows]
ModuleKnowledge = Knowledge[SharesModules]
