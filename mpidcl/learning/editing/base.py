"""What an editor is given and what it gives: rows of the memory, changed a little."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Part
from mpidcl.learning.editing.operator import Loss
from mpidcl.learning.editing.pattern import Pattern
from mpidcl.model.flat import FlatParameters
from mpidcl_kernels.editing import edit_pixels

LOW, HIGH = 0.0, 1.0
"""Range of a pixel."""


@dataclass(frozen=True, slots=True)
class EditMoment:
    """One step of training, as an editor sees it.

    x [m, *shape] float32 in 0..1: the batch from the memory. loss: the loss whose gradient the memory's
    gradient is, as a function of the rows, at the parameters of this moment; each call with the same rows
    and parameters must give the same value, so dropout has to draw alike. memory_gradient, direction,
    new_gradient [p]: of all parameters that learn; `direction` is the combined one divided by the sum of its
    weights, `new_gradient` the mean over the active tasks. age int64 [m]: edits of each row so far.
    pattern: what the pass that gave `memory_gradient` decided, if it was asked to remember. part [p]: what
    these rows alone give to `memory_gradient`; None if no other agent has rows of the batch. Then `rng` draws
    the same on all of these agents, and what is drawn for single rows comes from `rng_of_rows`.
    """

    x: Tensor
    loss: Loss
    flat: FlatParameters
    memory_gradient: Tensor
    direction: Tensor
    new_gradient: Tensor | None
    age: Any
    rng: np.random.Generator
    pattern: Pattern | None = None
    part: Tensor | None = None
    rng_of_rows: np.random.Generator | None = None


class Editor(Part, ABC):
    """Changes rows of the memory after they were used: x <- clip(x + size * change, 0, 1).

    The rows' owner asks it once per training step. Rows are drawn at random, so nothing is kept per row but
    its age: plain steps without moments.
    """

    class Options(Options):
        """What every editor has."""

        steps: int = Field(1, ge=1, le=10_000, description="edits of a batch per training step")
        max_move: float | None = Field(
            None, gt=0, description="longest step of a row (l2 of its pixels, in 0..1); none by default"
        )

    options: Options
    room = "editor"
    name: ClassVar[str] = "editor"
    needs_new_gradient: ClassVar[bool] = False
    """It reads `new_gradient`."""
    needs_memory_gradient: ClassVar[bool] = True
    """It reads `memory_gradient`: where agents have parts of that, it has to be put together."""
    uses_pattern: ClassVar[bool] = False
    """It reads `pattern`, which takes a byte per unit of the net and row from the memory's gradient on."""
    kernels = ("editing",)

    def __init__(self, options: Options | None = None) -> None:
        self.options = self.default_options() if options is None else options

    @abstractmethod
    def change(self, moment: EditMoment) -> tuple[Tensor, float | Tensor]:
        """A fresh tensor [m, *shape], and the size of the step along it: a number, or one per row [m]."""

    def edit(self, moment: EditMoment) -> tuple[Tensor, Tensor]:
        """The edited rows [m, *shape] float32 in 0..1, and how far each of them moved, float32 [m].

        Rows of the moment stay as they are. A row whose change is not finite keeps its pixels; it moved NaN.
        """
        first = moment.x
        edited, moved = self._step(moment)
        for _ in range(self.options.steps - 1):
            moment = self.again(moment, edited)
            edited, _ = self._step(moment)
        if self.options.steps > 1:
            moved = torch.linalg.vector_norm((edited - first).flatten(1), dim=1)
        return edited, moved.float()

    def _step(self, moment: EditMoment) -> tuple[Tensor, Tensor]:
        change, size = self.change(moment)
        moved: Tensor = edit_pixels(moment.x, change, size, LOW, HIGH, change, self.options.max_move)
        return change, moved

    def again(self, moment: EditMoment, x: Tensor) -> EditMoment:
        """The moment of a second edit in the same training step, when rows have become x."""
        return replace(moment, x=x, pattern=None)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        return
