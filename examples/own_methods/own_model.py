"""A model of your own: a residual perceptron. All randomness comes from `chance`, never from torch itself."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from mpidcl.base.shape import Shape
from mpidcl.experiment.options import Options
from mpidcl.model.base import Chance, Model
from mpidcl.model.layers import Dropout, Heads, Linear


class Residual(Model):
    """A linear layer, then blocks z + dropout(tanh(linear(z))), and one head per task."""

    class Options(Options):
        """Sizes."""

        width: int = Field(32, ge=1, description="units of each block")
        blocks: int = Field(2, ge=1, description="number of blocks")
        dropout: float = Field(0.1, ge=0, lt=1, description="share of units dropped in each block")

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        self.width = options.width
        self.first = Linear(math.prod(shape.input_shape), self.width, chance.own)
        self.blocks = nn.ModuleList(Linear(self.width, self.width, chance.own) for _ in range(options.blocks))
        self.dropout = Dropout(options.dropout, chance.noise)
        self.heads = Heads(shape.heads, self.width, shape.classes_per_head, chance.own)

    def encode(self, z: Tensor) -> Tensor:
        """Encodings [n, width] of rows z [n, *input_shape]."""
        values: Tensor = self.first(z.flatten(1))
        for block in self.blocks:
            values = values + self.dropout(torch.tanh(block(values)))
        return values
