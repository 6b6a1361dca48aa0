"""Classification: each row means one class of its head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpidcl.learning.objectives.base import Objective
from mpidcl.record.measures import ACCURACY

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mpidcl.learning.batches import Batch
    from mpidcl.model.base import Model


class Classification(Objective):
    """Mean cross-entropy, each row through its own head; measured by the fraction of right answers."""

    measures = (ACCURACY,)
    classes = True
    y_dtype = "int64"

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        from torch.nn import functional

        return functional.cross_entropy(outputs, y)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Heads and cross-entropy in one compiled pass."""
        assert batch.encoded is not None
        loss, batch.logits = model.heads.cross_entropy(batch.encoded, batch.heads, batch.y)
        return loss

    def unseen_flops(self, model: Model, rows: int, device: torch.device) -> int:
        return model.heads.unseen_flops(rows, device)

    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        return {ACCURACY.name: int((outputs.argmax(1) == y).sum()) / max(1, len(y))}
