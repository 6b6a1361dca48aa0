"""DER and DER++: the outputs on old rows stay what they were when these rows came (Buzzega et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pydantic import Field
from torch import Tensor

from mpidcl.experiment.part import Use
from mpidcl.learning.batches import Batch
from mpidcl.learning.terms.base import Draw
from mpidcl.learning.terms.rehearsing import Drawing, Rehearsing
from mpidcl.memory.buffer import Column


class DER(Rehearsing):
    """alpha mean((outputs(x') - o')^2) + beta loss(x'', y''): two independent draws x' and x'' of the memory.

    Dark experience replay (Buzzega et al. 2020, arXiv 2004.07211): beta = 0 is DER, beta > 0 is DER++. o' are
    the outputs of the step that offered the row, before it moved the model. The mean is over rows and outputs
    as in the authors' code; the paper adds the outputs up. With `memory.insert = "task end"` o' are those of
    the model when the task ends.
    """

    class Options(Drawing):
        """How much old outputs and old labels count."""

        alpha: float = Field(0.2, ge=0, description="weight of the distance of outputs")
        beta: float = Field(0.0, ge=0, description="weight of the loss of a second draw; 0: no such draw")

    options: Options
    name = "der"

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Outputs that are not those of the paper."""
        yield from super().notes(use)
        if use.mine.memory.insert == "task end":
            yield (
                'note: the outputs that "der" keeps are those when a task ends. The paper keeps those of'
                " each step:"
                ' set memory.insert = "each step", and memory.capacity in rows'
            )

    def columns(self) -> tuple[Column, ...]:
        return (Column("logits", "float32", (self.host.model.shape.classes_per_head,)),)

    def values(self, batch: Batch) -> Mapping[str, Tensor]:
        assert batch.logits is not None
        return {"logits": batch.logits}

    def draws(self) -> tuple[Draw, ...]:
        return (Draw(self.per_step, beside=True, quick=True),) * (2 if self.options.beta else 1)

    def loss(self, batch: Batch) -> Tensor | None:
        if self not in batch.drawn:
            return None
        first, *second = batch.drawn[self]
        away = self.host.outputs(first) - first.columns["logits"]
        loss = self.options.alpha * away.square().mean()
        for rows in second:
            loss = loss + self.options.beta * self.host.objective.loss_of(self.host.outputs(rows), rows.y)
        return loss

    def slopes(self, batch: Batch) -> Sequence[Tensor]:
        first, *second = batch.drawn[self]
        away = self.host.outputs(first) - first.columns["logits"]
        each = float(np.float32(self.options.alpha) / np.float32(away.numel()))
        slope_of = self.host.objective.slope_of
        return (
            away.mul_(2 * each),
            *(slope_of(self.host.outputs(rows), rows.y, self.options.beta) for rows in second),
        )
