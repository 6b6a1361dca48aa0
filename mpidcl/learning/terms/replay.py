"""Replay: rows of old tasks from the agent's memory learn along with the current ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from mpidcl.experiment.options import Options
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.terms.base import Draw, Term


class Replay(Term):
    """Rehearsal of remembered rows.

    "joined" (DCL's monolithic replay): all remembered rows of other tasks join the epoch's pool and are
    shuffled with the current rows. "separate" (experience replay): each step adds `weight` times the mean
    loss of `rows_per_step` remembered rows, drawn without replacement.
    """

    class Options(Options):
        """How remembered rows take part."""

        mix: Literal["joined", "separate"] = Field(
            "joined", description="in the pool, or as a loss of their own"
        )
        weight: float = Field(1.0, ge=0, description="weight of the separate loss")
        rows_per_step: int | None = Field(
            None, ge=1, description="rows of a separate draw; by default as many as learning.batch"
        )

    options: Options
    name = "replay"

    def rows(self, task: int) -> Prepared | None:
        if self.options.mix != "joined":
            return None
        remembered = self.host.remembered(self.host.current)
        return remembered if len(remembered) else None

    def draws(self) -> tuple[Draw, ...]:
        if self.options.mix != "separate":
            return ()
        return (Draw(self.options.rows_per_step or self.host.batch),)

    def loss(self, batch: Batch) -> Tensor | None:
        drawn = batch.drawn.get(self)
        if not drawn:
            return None
        rows, model = drawn[0], self.host.model
        outputs = model.logits(model.encode_rows(rows.z, rows.heads), rows.heads)
        return self.options.weight * self.host.objective.loss_of(outputs, rows.y)
