"""A learner of your own: it rests in epochs that it does not need.

How many epochs there are never depends on what was learned (the neighbours count on that), but what an
agent does in an epoch is its own affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.gradient.learner import GradientLearner


class Rested(GradientLearner):
    """Learns by gradients while its validation accuracy is below `enough`."""

    class Options(Options):
        """When to rest."""

        enough: float = Field(
            0.99, gt=0, le=1, description="validation accuracy at which an epoch is skipped"
        )

    def learn(self, task_index: int, tick: int) -> Iterator[Any]:
        """One epoch, or none."""
        if self._validation_accuracy(task_index) < self.experiment.learning.options.enough:
            yield from super().learn(task_index, tick)

    def _validation_accuracy(self, task_index: int) -> float:
        x, y = self.validation(task_index)
        return float((self.logits(x, task_index).argmax(1) == y).mean()) if len(y) else 0.0
