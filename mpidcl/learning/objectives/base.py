"""An objective: the loss of a batch, and the measures by which answers are judged.

Nothing here imports torch when it loads, so that an experiment file is read without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Part
from mpidcl.record.measures import Measure

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mpidcl.base.shape import Shape
    from mpidcl.learning.batches import Batch
    from mpidcl.model.base import Model


class Objective(Part, ABC):
    """Base of all objectives. One is made per learner, with its options; it holds no other state."""

    room = "objective"
    measures: tuple[Measure, ...]
    """What `scores` gives, of a class or of one objective. The first is the main one."""
    classes: ClassVar[bool] = False
    """Whether y [n] are class labels inside the head; exchanges of rows, Fisher information need them."""
    y_dtype: ClassVar[str] = "float32"
    """Type of y in a memory: "int64" or "float32"."""

    def __init__(self, options: Options | None = None) -> None:
        self.options: Options = self.default_options() if options is None else options

    def y_shape(self, shape: Shape) -> tuple[int, ...]:
        """Shape of the y of one row in a stream of this shape; by default one number."""
        return ()

    def check(self, y: NDArray[np.generic], shape: Shape) -> None:
        """Raises ExperimentError where labels or targets y [n, ...] are none for it."""
        wanted, whole = self.y_shape(shape), self.y_dtype.startswith("int")
        if y.shape[1:] != wanted or (y.dtype.kind in "iu") != whole:
            kind = "whole numbers" if whole else "real numbers"
            raise ExperimentError(
                f"[learning] objective: y of {type(self).__name__} should be {kind} {['n', *wanted]}. Found"
                f" {y.dtype} {['n', *y.shape[1:]]} in the stream. Take another objective or stream."
            )

    @abstractmethod
    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Mean loss (a scalar) over rows with outputs [n, outputs of a head] and y [n, ...]."""

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Mean loss of a batch that is encoded; the rows' outputs go to `batch.logits`."""
        assert batch.encoded is not None
        batch.logits = model.logits(batch.encoded, batch.heads)
        return self.loss_of(batch.logits, batch.y)

    def loss_among(self, model: Model, batch: Batch, competing: Tensor) -> Tensor:
        """The same with only the outputs that compete, [n, outputs of a head]; `batch.logits` has all."""
        assert batch.encoded is not None
        batch.logits = model.logits(batch.encoded, batch.heads)
        least = float(np.finfo(np.float32).min)
        return self.loss_of(batch.logits.masked_fill(~competing, least), batch.y)

    def slope_of(self, outputs: Tensor, y: Tensor, weight: float) -> Tensor:
        """The gradient [n, ...] of weight * loss_of(outputs, y) by the outputs, in the bits of autograd."""
        import torch

        leaf = outputs.detach().requires_grad_()
        loss = weight * self.loss_of(leaf, y)
        return torch.autograd.grad(loss, leaf)[0]

    def unseen_flops(self, model: Model, rows: int, device: torch.device) -> int:
        """Operations of `loss` and its gradient for so many rows that torch does not see."""
        return 0

    @abstractmethod
    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        """Every measure, by name, on all test rows of a task: outputs [n, ...] and y [n, ...]."""
