"""Two images out of one: amplitude and phase of an object, such as of the stream `ptychography`."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from mpidcl.learning.objectives.base import Objective
from mpidcl.record.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

    from mpidcl.base.shape import Shape

AMPLITUDE = Measure("amplitude_error", "amplitude error", "lower")
PHASE = Measure("phase_error", "phase error", "lower", "rad")


class Images(Objective):
    """Mean absolute error of the amplitude plus that of the phase, averaged over rows.

    y [n, 2, height, width]: amplitude and phase (radians), float32. Outputs [n, 2 height width]: both images,
    one behind the other, of any model. Measured are both errors apart.
    """

    measures = (AMPLITUDE, PHASE)

    def y_shape(self, shape: Shape) -> tuple[int, ...]:
        return (len(self.measures), *shape.input_shape[-2:])

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        return _errors(outputs, y).sum()

    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        found = _errors(outputs.double(), y.double()).tolist() if len(y) else [nan, nan]
        return {one.name: error for one, error in zip(self.measures, found, strict=True)}


def _errors(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean absolute error of each image [2]."""
    return (outputs.view_as(y) - y).abs().mean((0, 2, 3))
