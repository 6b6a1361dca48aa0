"""What streams of samples have in common."""

from __future__ import annotations

from typing import ClassVar

from mpidcl.stream.regression.task import RegressionTask
from mpidcl.stream.stream import Stream


class RegressionStream(Stream):
    """Base of streams that give one sample at each tick."""

    gives = RegressionTask
    learners = ("linear",)
    online = True
    knows_truth: ClassVar[bool] = False
    """Whether the model that answers follow is known: then the error of a learned one can be measured."""

    def group_names(self) -> tuple[str, ...]:
        """What the groups are called, group 0 first; nothing where they have no names."""
        return ()
