"""What a model or a learner must know of its stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

Meanings = Mapping[str, str]
"""Output of a head, "output 3 of head 0", and the class that it stands for, "class 7 of mnist"."""


class Shape(Protocol):
    """The shape of rows and of answers (`mpidcl.stream.tasks.StreamShape`)."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one row: (channels, height, width) of an image, (features,) of a vector."""
        ...

    @property
    def heads(self) -> int:
        """Output heads: one for each task, or one for all."""
        ...

    @property
    def classes_per_head(self) -> int:
        """Outputs of each head."""
        ...

    @property
    def incremental(self) -> str:
        """What is new in a task: "task", "class" or "domain"."""
        ...

    @property
    def joint_tasks(self) -> int:
        """How many of the first tasks are learned together; 0: every task alone."""
        ...

    @property
    def joint_shared(self) -> bool:
        """Whether all agents have the same rows of the joint tasks."""
        ...

    @property
    def meanings(self) -> Callable[[], Meanings] | None:
        """What the outputs of the heads stand for, those that a task uses; None: the stream does not say."""
        ...

    @property
    def augment(self) -> tuple[str, ...]:
        """How training images are changed whenever they are used: of "crop" and "flip"."""
        ...
