"""Editing the rows of the memory that a step has used, before the parameters move."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mpidcl import kinds
from mpidcl.learning.base import Floats, ModelLearner
from mpidcl.learning.editing.base import EditMoment, Editor
from mpidcl.learning.parallel_rows import GradientRows, OwnGradient
from mpidcl.memory.quota import QuotaMemory
from mpidcl.model.build import repeatable
from mpidcl.randomness import numpy_generator


class Editing:
    """Gives the editor its moment and writes what it returns back to the memory."""

    def __init__(self, learner: ModelLearner, rows: GradientRows, draws_as: int) -> None:
        table = learner.experiment.learning.options.editing
        self._learner, self._rows, self._draws_as = learner, rows, draws_as
        self.editor: Editor = kinds.resolve("editor", table.kind)(table.options)
        self.new_gradient: Floats = np.zeros(
            len(learner.parameters.grad) if self.editor.needs_new_gradient else 0, dtype=np.float32
        )

    @property
    def needs_new_gradient(self) -> bool:
        """Whether the mean gradient of the active tasks has to be made."""
        return self.editor.needs_new_gradient

    def edit(
        self, step: int, own: OwnGradient, direction: Floats, total: float, memory: QuotaMemory
    ) -> npt.NDArray[np.float32]:
        """Edit the rows of the memory's gradient `own`; how far each row moved [m], l2 of its pixels.

        direction [p] is the weighted sum of all gradients, total the sum of the weights.
        """
        moment = self._moment(step, own, direction, total, memory)
        self._rows.statistics.begin()
        self._learner.model.train()
        with repeatable(self._learner.device), self._learner.counted(("edit", len(own.batch))):
            edited, moved = self.editor.edit(moment)
        self._rows.statistics.end()
        x, far = edited.detach().cpu().numpy(), moved.cpu().numpy()
        good = np.isfinite(far)
        assert own.batch.index is not None and own.batch.generation is not None
        memory.write(own.batch.index[good], own.batch.generation[good], x[good])
        found: npt.NDArray[np.float32] = far[good]
        return found

    def _moment(
        self, step: int, own: OwnGradient, direction: Floats, total: float, memory: QuotaMemory
    ) -> EditMoment:
        rows, device = self._rows, self._learner.device
        assert own.batch.index is not None
        return EditMoment(
            x=torch.from_numpy(own.batch.x).to(device),
            loss=rows.loss_of(own, step),
            flat=self._learner.parameters,
            memory_gradient=rows.on_device(own.vector),
            direction=rows.on_device(direction) / total,
            new_gradient=rows.on_device(self.new_gradient) if self.needs_new_gradient else None,
            age=memory.age(own.batch.index),
            rng=numpy_generator(self._learner.seed, self._draws_as, f"edit {step}"),
        )

    def state(self) -> dict[str, Any]:
        """What the editor remembers."""
        return self.editor.state()

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.editor.load(state)
