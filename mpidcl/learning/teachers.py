"""Models that teach: copies that answer rows and do not learn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.model.base import Model
from mpidcl.model.build import build_model
from mpidcl.model.flat import writable

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class Teacher:
    """A model in memory of its own, with the weights of somebody at some time.

    It takes the rows that `like` takes, and is of the kind that `experiment` says.
    """

    def __init__(self, experiment: Experiment, agent: int, like: Model) -> None:
        self.model = build_model(experiment, agent, like.shape, like.flat.device, purpose="teacher")
        self.model.eval()
        self._from_rows = False

    def copy(self, model: Model) -> None:
        """Become what `model` is now."""
        self.model.flat.data.copy_(model.flat.data)
        self.model.flat.buffers.copy_(model.flat.buffers)
        self.model.load_module_state(model.module_state())

    def take(self, parts: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Replace the floats of these kinds. Raises ValueError for another length."""
        for kind, values in parts.items():
            target = self.model.flat.data[self.model.flat.span(kind)]
            if values.shape != tuple(target.shape):
                raise ValueError(f"`{kind}` should have {len(target)} floats. Found {values.shape}.")
            target.copy_(writable(values))

    def see_as(self, like: Model) -> None:
        """Answer the rows that `like` prepares. Raises ValueError where these do not tell the rows."""
        self._from_rows = not like.prepares
        shape = like.shape.input_shape
        x = torch.linspace(0, 1, math.prod(shape), device=like.flat.device).reshape(1, *shape)
        if like.prepares and not _same(like.prepare(x), self.model.prepare(x)):
            raise ValueError(
                "both models should have the same frozen input stage, such as a random projection, drawn"
                " with the seed, or the learner none (`projection = false`). Found another one."
            )

    def outputs(self, z: Tensor, head: int) -> Tensor:
        """What it answers to prepared rows z through a head [n, outputs], without a gradient."""
        with torch.no_grad():
            if self._from_rows:
                z = self.model.prepare(z.reshape(len(z), *self.model.shape.input_shape))
            return self.model.outputs_of(self.model.encode_rows(z, head), head)

    def state(self) -> State:
        """Its weights."""
        return self.model.flat.state() | {"standing": self.model.module_state()}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self.model.flat.load(state)
        self.model.load_module_state(state["standing"])


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)
