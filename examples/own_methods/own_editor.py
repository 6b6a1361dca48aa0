"""An editor of your own: rows become easier, as far as their loss tells.

x <- clip(x - lr grad_x loss(x), 0, 1). It asks for nothing but the rows and their loss.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from mpidcl.learning.editing.base import EditMoment, Editor
from mpidcl.learning.editing.operator import input_gradient


class Easier(Editor):
    """Moves pixels down the loss."""

    class Options(Editor.Options):
        """How much, beside what every editor has."""

        lr: float = Field(1.0, ge=0, description="size of a step on the pixels")

    options: Options
    name = "easier"

    def change(self, moment: EditMoment) -> tuple[Tensor, float | Tensor]:
        """A direction [m, *shape] of the pixels, and the size of the step along it."""
        return input_gradient(moment.loss, moment.flat, moment.x), -self.options.lr
