"""A loss term of your own with a column in the memory: dark experience replay.

L = loss of the batch + alpha * mean squared difference of outputs on old rows, now and when the rows came
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from mpidcl.experiment.options import Options
from mpidcl.learning.batches import Batch
from mpidcl.learning.terms.base import Draw, Term
from mpidcl.memory.buffer import Column


class Dark(Term):
    """DER (Buzzega et al. 2020, arXiv 2004.07211): outputs on old rows stay what they were."""

    class Options(Options):
        """How much."""

        alpha: float = Field(0.2, ge=0, description="weight of the distance")

    options: Options
    name = "dark"

    def columns(self) -> tuple[Column, ...]:
        return (Column("logits", "float32", (self.host.model.heads.block.shape[1],)),)

    def values(self, batch: Batch) -> Mapping[str, Tensor]:
        assert batch.logits is not None
        return {"logits": batch.logits}

    def draws(self) -> tuple[Draw, ...]:
        return (Draw(self.host.batch, beside=True),)

    def loss(self, batch: Batch) -> Tensor | None:
        if self not in batch.drawn:
            return None
        (rows,) = batch.drawn[self]
        return self.options.alpha * (self.host.outputs(rows) - rows.columns["logits"]).square().mean()
