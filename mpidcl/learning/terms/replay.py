"""Replay: rows of old tasks from the agent's memory learn along with the current ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mpidcl.experiment.options import Options
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.terms.base import Term
from mpidcl.randomness import generator_state, load_generator_state, numpy_generator

if TYPE_CHECKING:
    from mpidcl.learning.gradient.learner import GradientLearner


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

    def __init__(self, options: Options, learner: GradientLearner) -> None:
        super().__init__(options, learner)
        self._rng = numpy_generator(learner.seed, learner.agent, "replay draw")
        self._old: tuple[int, Prepared] | None = None

    def rows(self, task: int) -> Prepared | None:
        if self.options.mix != "joined":
            return None
        remembered = self.learner.remembered(self.learner.current)
        return remembered if len(remembered) else None

    def loss(self, batch: Batch) -> Tensor | None:
        if self.options.mix != "separate":
            return None
        remembered = self._remembered()
        if not len(remembered):
            self.drawn = None
            return None
        count = self.options.rows_per_step or self.learner.batch
        chosen = torch.from_numpy(self._rng.permutation(len(remembered))[:count])
        drawn = remembered.take(chosen.to(remembered.z.device))
        self.drawn = drawn.heads
        batch.present |= np.isin(np.arange(len(batch.present)), drawn.heads.cpu().numpy())
        logits = self.learner.model.logits(self.learner.model.encode_rows(drawn.z, drawn.heads), drawn.heads)
        return self.options.weight * functional.cross_entropy(logits, drawn.y)

    def _remembered(self) -> Prepared:
        """Rows of other tasks; the memory changes at the end of a task only."""
        task = self.learner.task
        if self._old is None or self._old[0] != task:
            self._old = task, self.learner.remembered(self.learner.current)
        return self._old[1]

    def state(self) -> dict[str, Any]:
        return {"rng": generator_state(self._rng)}

    def load(self, state: dict[str, Any]) -> None:
        load_generator_state(self._rng, state["rng"])
        self._old = None
