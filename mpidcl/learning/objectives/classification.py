"""Classification: each row means one class of its head."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, field_validator

from mpidcl.experiment.options import Options
from mpidcl.learning.objectives.base import Objective
from mpidcl.record.measures import ACCURACY, TASK_ACCURACY, TOP5

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mpidcl.learning.batches import Batch
    from mpidcl.model.base import Model


class Classification(Objective):
    """Mean cross-entropy, each row through its own head; measured by the fraction of right answers.

    "accuracy": the highest output of the head is the right one. "task_accuracy": it is the highest among the
    classes of the task, which are those of its test rows: what a model with one head answers when it is told
    the task (Buzzega et al. 2020, arXiv 2004.07211, section 5). "top5": it is among the five highest, which
    is always so with five outputs or fewer.
    """

    class Options(Options):
        """What is measured."""

        measures: tuple[Literal["accuracy", "task_accuracy", "top5"], ...] = Field(
            ("accuracy",),
            min_length=1,
            description="what is measured on the test rows of a task, the main measure first: accuracy;"
            " task_accuracy: among the classes of the task alone; top5: among the five highest outputs",
        )

        @field_validator("measures")
        @classmethod
        def _different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            if len(set(names)) < len(names):
                raise ValueError(f"should name each measure once. Found {', '.join(names)}")
            return names

    options: Options
    classes = True
    y_dtype = "int64"

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self.measures = tuple(KNOWN[name] for name in self.options.measures)

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        from torch.nn import functional

        return functional.cross_entropy(outputs, y)

    def slope_of(self, outputs: Tensor, y: Tensor, weight: float) -> Tensor:
        import torch

        log_p = torch.log_softmax(outputs, 1)
        by_log_p = torch.zeros_like(log_p)
        by_log_p.scatter_(1, y.unsqueeze(1), -float(np.float32(weight) / np.float32(len(y))))
        slope: Tensor = torch.ops.aten._log_softmax_backward_data(by_log_p, log_p, 1, outputs.dtype)
        return slope

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Heads and cross-entropy in one compiled pass."""
        assert batch.encoded is not None
        loss, batch.logits = model.heads.cross_entropy(batch.encoded, batch.heads, batch.y)
        return loss

    def unseen_flops(self, model: Model, rows: int, device: torch.device) -> int:
        return model.heads.unseen_flops(rows, device)

    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        return {one.name: int(RIGHT[one.name](outputs, y).sum()) / max(1, len(y)) for one in self.measures}


class OneVsRest(Classification):
    """Mean binary cross-entropy over rows and outputs of a head; measured as classification.

    Each output tells its own class from all others: log(1 + e^o) - o where the class is right, log(1 + e^o)
    elsewhere (the classification part of Rebuffi et al. 2017, arXiv 1611.07725, algorithm 3).
    """

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        from torch.nn import functional

        wanted = functional.one_hot(y, outputs.shape[1]).to(outputs.dtype)
        return functional.binary_cross_entropy_with_logits(outputs, wanted)

    def slope_of(self, outputs: Tensor, y: Tensor, weight: float) -> Tensor:
        return Objective.slope_of(self, outputs, y, weight)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        return Objective.loss(self, model, batch)

    def unseen_flops(self, model: Model, rows: int, device: torch.device) -> int:
        return 0


def _among_all(outputs: Tensor, y: Tensor) -> Tensor:
    return outputs.argmax(1) == y


def _among_its_task(outputs: Tensor, y: Tensor) -> Tensor:
    if not len(y):
        return y == y
    classes: Tensor = y.unique()  # type: ignore[no-untyped-call]
    return classes[outputs.index_select(1, classes).argmax(1)] == y


def _among_five(outputs: Tensor, y: Tensor) -> Tensor:
    highest = outputs.topk(min(5, outputs.shape[1]), 1).indices
    found: Tensor = (highest == y.unsqueeze(1)).any(1)
    return found


KNOWN = {one.name: one for one in (ACCURACY, TASK_ACCURACY, TOP5)}
RIGHT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    ACCURACY.name: _among_all,
    TASK_ACCURACY.name: _among_its_task,
    TOP5.name: _among_five,
}
"""Which rows are answered right: outputs [n, k], y [n] -> bool [n]."""
