"""Rows that agree with the common direction, and two controls for what that is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mpidcl.learning.editing.base import EditMoment, Editor
from mpidcl.learning.editing.operator import REACH, input_grad_dot, parameter_gradient
from mpidcl.learning.editing.pattern import Pattern


class Align(Editor):
    """Elastic multi-gradient descent's editing (arXiv 2401.01054): the rows' gradient comes closer to d*.

    A gradient step on L(x) = |d* - grad_theta loss(x)|^2 with d* held fixed. With v = d* - grad_theta loss(x)
    its gradient is -2 grad_x <grad_theta loss(x), v>, so x <- x + 2 lr grad_x <grad_theta loss(x), v>.
    The paper's abstract says that stored pixels are changed, by the difference between the common gradient
    and the memory's; the formula is our reading of it.
    """

    class Options(Editor.Options):
        """Size of the steps, and precision of the derivative."""

        lr: float = Field(0.01, ge=0, description="size of a step on the pixels")
        reach: float = Field(
            REACH, gt=0, description="how far the central difference moves the parameters each way (l2)"
        )

    options: Options
    name = "align"
    uses_pattern = True
    sign = 1.0

    def change(self, moment: EditMoment) -> tuple[Tensor, float | Tensor]:
        return self.along(moment, self.wanted(moment)), 2 * self.options.lr * self.sign

    def wanted(self, moment: EditMoment) -> Tensor:
        """v [p]: what the memory's gradient lacks to be the common direction."""
        return moment.direction - moment.memory_gradient

    def along(self, moment: EditMoment, v: Tensor) -> Tensor:
        """How the rows' gradient gets longer along v [p]: a change of the pixels [m, *shape]."""
        return input_grad_dot(moment.loss, moment.flat, moment.x, v, self.options.reach, moment.pattern)

    def again(self, moment: EditMoment, x: Tensor) -> EditMoment:
        pattern = Pattern()
        gradient = parameter_gradient(moment.loss, moment.flat, x, pattern)
        whole, part = gradient, None
        if moment.part is not None:  # the rows of others are taken as they were
            whole, part = (moment.memory_gradient - moment.part).add_(gradient), gradient
        return replace(moment, x=x, memory_gradient=whole, part=part, pattern=pattern)


class Negated(Align):
    """Control: the steps of `align` the other way, so rows come to disagree with the common direction."""

    name = "negated"
    sign = -1.0


class Random(Align):
    """Control: steps as long as those of `align`, in random directions.

    "parameters": v is drawn at random, of the length that `align`'s has. "pixels": each row moves in a
    random direction, as far as `align` would move it before clipping.
    """

    class Options(Align.Options):
        """Where the direction is random."""

        space: Literal["parameters", "pixels"] = Field(
            "parameters", description="draw the vector in the space of the parameters, or that of the pixels"
        )

    options: Options
    name = "random"

    def wanted(self, moment: EditMoment) -> Tensor:
        v = super().wanted(moment)
        return v if self.options.space == "pixels" else _random_like(v, moment.rng)

    def along(self, moment: EditMoment, v: Tensor) -> Tensor:
        change = super().along(moment, v)
        return change if self.options.space == "parameters" else _random_like(change, _rng_of_rows(moment))


def _rng_of_rows(moment: EditMoment) -> np.random.Generator:
    return moment.rng if moment.rng_of_rows is None else moment.rng_of_rows


def _random_like(lengths_of: Tensor, rng: np.random.Generator) -> Tensor:
    """Normal numbers in the shape of a vector, or of rows, each scaled to the length that it had."""
    drawn = torch.from_numpy(rng.standard_normal(tuple(lengths_of.shape), dtype="float32"))
    drawn = drawn.to(lengths_of.device)
    over = tuple(range(1, drawn.dim())) or None
    keep = {"dim": over, "keepdim": over is not None}
    wanted, found = (torch.linalg.vector_norm(one, **keep) for one in (lengths_of, drawn))
    return drawn.mul_(wanted / found)
