"""An objective of your own: the mean absolute error of a regression."""

from __future__ import annotations

from torch import Tensor

from mpidcl.base.shape import Shape
from mpidcl.learning.objectives.base import Objective
from mpidcl.record.measures import Measure


class Absolute(Objective):
    """Mean absolute error; y [n, outputs of a head] are float32."""

    measures = (Measure("mae", "mean absolute error", "lower"),)

    def y_shape(self, shape: Shape) -> tuple[int, ...]:
        return (shape.classes_per_head,)

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs - y).abs().mean()

    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        return {"mae": (outputs - y).abs().mean().item()}
