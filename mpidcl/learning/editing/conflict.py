"""Gradient-based memory editing: remembered rows become harder."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mpidcl.learning.editing.base import EditMoment, Editor
from mpidcl.learning.editing.operator import input_gradient, moving


class Conflict(Editor):
    """GMED (Jin et al. 2021, arXiv 2006.15294): rows are moved to where the next update forgets them most.

    theta' = theta - eta g with g the gradient of the new rows; u = grad_x loss(theta') - grad_x loss(theta);
    x <- x + alpha (1 - kappa)^age (u - beta grad_x loss(theta)), with age the edits of the row so far
    (equations 3 to 5). The loss is a mean over the batch, so the size of a step depends on its rows.
    """

    class Options(Editor.Options):
        """Size of the steps and of the lookahead."""

        alpha: float = Field(0.1, ge=0, description="size of a step on the pixels")
        beta: float = Field(0.01, ge=0, description="weight of keeping the loss of the rows low")
        kappa: float = Field(
            0.0, ge=0, le=1, description="share by which each edit of a row shrinks the next"
        )
        eta: float = Field(0.1, gt=0, description="rate of the lookahead step along the new gradient")

    options: Options
    name = "conflict"
    needs_new_gradient = True
    needs_memory_gradient = False

    def change(self, moment: EditMoment) -> tuple[Tensor, float | Tensor]:
        if moment.new_gradient is None:
            raise ValueError(
                'editing.kind = "conflict" should be asked in steps with at least one active task. There was'
                " none, so there is no new gradient to look ahead along."
            )
        with moving(moment.flat) as move:
            now = input_gradient(moment.loss, moment.flat, moment.x)
            move(moment.new_gradient, -self.options.eta)
            later = input_gradient(moment.loss, moment.flat, moment.x)
        return later.sub_(now, alpha=1 + self.options.beta), self._sizes(moment)

    def _sizes(self, moment: EditMoment) -> Tensor:
        """alpha (1 - kappa)^age [m]."""
        ages = np.asarray(torch.as_tensor(moment.age).cpu(), np.float64)
        sizes = self.options.alpha * (1 - self.options.kappa) ** ages
        return torch.from_numpy(sizes).to(moment.x.device)
