"""The gradients that one agent gives to a step: one per active task of its own, one of the memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.learning.editing.pattern import Pattern, deciding
from mpidcl.learning.model_learner import Floats, ModelLearner
from mpidcl.learning.parallel.masks import masked_cross_entropy
from mpidcl.learning.seen import prepare_rows
from mpidcl.learning.sharing.statistics import Statistics
from mpidcl.model.build import repeatable
from mpidcl.model.flat import aligned, writable


@dataclass(slots=True)
class RowBatch:
    """Rows of one gradient: x [n, *input], y [n], mask bool [classes] or [n, classes].

    `index` and `generation` [n] say where rows of the memory lie. `share`: that of these rows in the batch
    whose gradient this is a part of; other agents have the rest.
    """

    x: Floats
    y: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_]
    index: npt.NDArray[np.int64] | None = None
    generation: npt.NDArray[np.int64] | None = None
    share: float = 1.0

    def __len__(self) -> int:
        return len(self.y)


@dataclass(slots=True)
class OwnGradient:
    """A gradient `vector [p]` with its `facts [1 + b]`: loss, BatchNorm contribution; NaN: no rows.

    `pattern`: what its pass decided, if that is wanted for an edit of the rows.
    """

    place: int
    task: int
    batch: RowBatch
    vector: Floats
    facts: Floats
    pattern: Pattern | None = None


class GradientRows:
    """Makes gradients into host memory that is allocated once and used again at every step."""

    def __init__(self, learner: ModelLearner, draws_as: int) -> None:
        self._learner, self._draws_as = learner, draws_as
        self.statistics = Statistics(learner.parameters)
        self._vectors: list[Floats] = []

    @property
    def facts(self) -> int:
        """Numbers that travel beside a gradient."""
        return 1 + len(self.statistics)

    def gradient(
        self,
        place: int,
        number: int,
        task: int,
        step: int,
        batch: RowBatch,
        pattern: Pattern | None = None,
    ) -> OwnGradient:
        """The gradient of the mean loss of `batch`, times its share, in this agent's `number`-th vector.

        `pattern` gets what ReLUs and max-pools decide on the way.
        """
        vector = self._vector(number)
        facts = np.zeros(self.facts, dtype=np.float32)
        if len(batch):
            facts[:] = self._compute(batch, vector, task, step, pattern)
        else:
            vector[:] = 0
            facts[0] = np.nan
        return OwnGradient(place, task, batch, vector, facts, pattern)

    def _vector(self, number: int) -> Floats:
        parameters = self._learner.parameters
        while len(self._vectors) <= number:
            self._vectors.append(aligned(len(parameters.grad), torch.device("cpu")).numpy())
        return self._vectors[number]

    def _compute(
        self, batch: RowBatch, vector: Floats, task: int, step: int, pattern: Pattern | None
    ) -> Floats:
        learner = self._learner
        learner.model.train()
        self._restart_dropout(task, step, batch)
        self.statistics.begin()
        with learner.counted(("gradient", len(batch))), repeatable(learner.device):
            with deciding(pattern):
                loss = self._loss(prepare_rows(learner.model, batch.x, learner.device), batch)
            self._backward(loss, torch.from_numpy(vector))
        contribution = self.statistics.end()
        return np.append(loss.detach().cpu().numpy(), contribution.cpu().numpy())

    def _restart_dropout(self, task: int, step: int, batch: RowBatch) -> None:
        """Each batch draws anew, whatever was drawn before; parts of one batch draw apart."""
        learner = self._learner
        part = "" if batch.share == 1 else f" of agent {learner.agent}"
        learner.model.noise.restart(learner.seed, self._draws_as, f"dropout {task} {step}{part}")

    def _backward(self, loss: Tensor, vector: Tensor) -> None:
        parameters = self._learner.parameters
        if self._learner.device.type == "cpu":
            parameters.backward(loss, vector)
        else:
            parameters.backward(loss, parameters.grad)
            vector.copy_(parameters.grad)

    def _loss(self, z: Tensor, batch: RowBatch) -> Tensor:
        model, device = self._learner.model, self._learner.device
        logits = model.heads.one(model.encode_rows(z, 0), 0)
        y, mask = torch.from_numpy(batch.y).to(device), torch.from_numpy(batch.mask).to(device)
        loss = masked_cross_entropy(logits, y, mask)
        return loss if batch.share == 1 else loss * batch.share

    def loss_of(self, own: OwnGradient, step: int) -> Callable[[Tensor], Tensor]:
        """The very loss whose gradient `own` is, as a function of its pixels [n, *input]."""
        learner = self._learner

        def loss(x: Tensor) -> Tensor:
            self._restart_dropout(own.task, step, own.batch)
            return self._loss(learner.model.prepare(x), own.batch)

        return loss

    def on_device(self, array: npt.NDArray[Any]) -> Tensor:
        """A tensor on the learner's device; on the CPU the same memory."""
        return writable(array).to(self._learner.device)
