"""Regression: each row means numbers, one for each output of its head."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from mpidcl.learning.objectives.base import Objective
from mpidcl.record.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

    from mpidcl.base.shape import Shape

MSE = Measure("mse", "mean squared error", "lower")
R2 = Measure("r2", "R^2", "higher")
"""1 - (sum of squared errors) / (sum of squares around the mean of each output): 1 is perfect."""


class Regression(Objective):
    """Mean squared error over rows and outputs. y [n, outputs of a head] are float32."""

    measures = (MSE, R2)

    def y_shape(self, shape: Shape) -> tuple[int, ...]:
        return (shape.classes_per_head,)

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs - y.view_as(outputs)).square().mean()

    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        if not len(y):
            return {MSE.name: nan, R2.name: nan}
        wanted = y.view_as(outputs).double()
        wrong = (outputs.double() - wanted).square().sum().item()
        around = (wanted - wanted.mean(0)).square().sum().item()
        return {MSE.name: wrong / wanted.numel(), R2.name: 1 - wrong / around if around else nan}
