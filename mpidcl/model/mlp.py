"""Multi-layer perceptrons: the DCL net (frozen random projection, four layers of 64) and plain ones."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.base.shape import Shape
from mpidcl.experiment.options import Options
from mpidcl.model.base import MOST_DEPTH, Chance, Model, Width
from mpidcl.model.dense import DenseStack
from mpidcl.model.flat import Placement
from mpidcl.model.layers import Heads, Linear
from mpidcl.model.permutations import Axis, Permutation


class MLP(Model):
    """Linear layers with ReLU and dropout, and one linear head per task.

    By default the net of "Distributed Continual Learning" for the MNIST family (arXiv 2405.17466, public
    code): a frozen random Linear inputs -> 64, the same on all agents, then 4 layers 64 -> 64 (16,640
    shared floats) and heads of 65 floats per class. With `hidden` a plain net of these sizes.
    """

    class Options(Options):
        """Sizes of the perceptron."""

        width: Width = Field(64, description="units of each layer, and of the projection")
        depth: int = Field(4, ge=1, le=MOST_DEPTH, description="number of layers before the head")
        dropout: float = Field(0.5, ge=0, lt=1, description="share of units dropped after each layer")
        projection: bool | None = Field(
            None,
            description="begin with a frozen random Linear to `width`; by default unless `hidden` is given",
        )
        hidden: tuple[Width, ...] | None = Field(
            None,
            min_length=1,
            max_length=MOST_DEPTH,
            description="sizes of the layers, in place of `width` and `depth`",
        )
        init: Literal["default", "xavier"] = Field(
            "default",
            description="first weights of layers and heads: uniform in +- 1 / sqrt(fan in), or in"
            " +- sqrt(6 / (fan in + fan out)) with biases 0",
        )

    options: Options
    rows_at_once = 1024

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        sizes = list(options.hidden or [options.width] * options.depth)
        inputs = math.prod(shape.input_shape)
        self.prepares = options.projection if options.projection is not None else options.hidden is None
        if self.prepares:
            self.projection = Linear(inputs, options.width, chance.common)
            inputs = options.width
        self.layers = nn.ModuleList(
            Linear(before, after, chance.own) for before, after in zip([inputs, *sizes], sizes, strict=False)
        )
        self._inputs, self._sizes = inputs, sizes
        self.width = sizes[-1]
        self.heads = Heads(shape.heads, self.width, shape.classes_per_head, chance.own)
        if options.init == "xavier":
            self._xavier(chance.own)
        self._mask_memory: dict[int, tuple[Tensor, list[Tensor]]] = {}

    def _xavier(self, rng: torch.Generator) -> None:
        """Draw layers and heads anew (Glorot and Bengio 2010, equation 16)."""
        layers = [layer for layer in self.layers if isinstance(layer, Linear)]
        heads = [(head[:, :-1], head[:, -1]) for head in self.heads.block.data]
        for weight, bias in [*((layer.weight.data, layer.bias.data) for layer in layers), *heads]:
            bound = math.sqrt(6 / sum(weight.shape))
            weight.uniform_(-bound, bound, generator=rng)
            bias.zero_()

    def place(self, name: str) -> Placement:
        return Placement("frozen") if name.startswith("projection.") else super().place(name)

    def prepare(self, x: Tensor) -> Tensor:
        """Flatten rows, and project them: x [n, *input_shape] -> z [n, width or inputs]."""
        rows = x.flatten(1)
        if not self.prepares:
            return rows
        with torch.set_grad_enabled(rows.requires_grad):  # gradients by the rows, for their editing
            projected: Tensor = self.projection(rows)
        return projected

    def encode(self, z: Tensor) -> Tensor:
        masks = self._masks(len(z)) if self.training else []
        if self.training and not self.flat.rests:
            return self._stack(z, masks, 1 / (1 - self.options.dropout))
        return self._plainly(z, masks)

    def by_hand(self) -> DenseStack | None:
        return self._stack if type(self) is MLP else None  # a subclass may encode in another way

    def masks_and_scale(self, rows: int) -> tuple[list[Tensor], float]:
        return self._masks(rows), 1 / (1 - self.options.dropout)

    def permutations(self) -> tuple[Permutation, ...]:
        """The units of each layer. The projection is the same on all agents, so its outputs stay."""
        readers = [*(Axis(f"layers.{k}.weight", 1) for k in range(1, len(self.layers)))]
        readers.append(Axis("heads.block", 2, last=1))
        return tuple(
            Permutation(
                f"layers.{k}",
                size,
                (Axis(f"layers.{k}.weight", 0), Axis(f"layers.{k}.bias", 0), readers[k]),
                (f"layers.{k}",),
            )
            for k, size in enumerate(self._sizes)
        )

    def _plainly(self, z: Tensor, masks: list[Tensor]) -> Tensor:
        for index, layer in enumerate(self.layers):
            z = functional.relu(layer(z), inplace=True)
            z = z * masks[index] if masks else z
        return z

    def _masks(self, rows: int) -> list[Tensor]:
        """One draw for all layers: dropout masks [rows, outputs], valid until the next draw."""
        p = self.options.dropout
        if p == 0:
            return []
        if rows not in self._mask_memory:
            flat = torch.empty(rows * sum(self._sizes), device=self.noise.device)
            parts = torch.split(flat, [rows * size for size in self._sizes])
            self._mask_memory[rows] = flat, [part.view(rows, -1) for part in parts]
        flat, masks = self._mask_memory[rows]
        self.noise.keep((len(flat),), p, out=flat)
        return masks

    @cached_property
    def _stack(self) -> DenseStack:
        return DenseStack(self.flat.leaf("shared"), [self._inputs, *self._sizes])
