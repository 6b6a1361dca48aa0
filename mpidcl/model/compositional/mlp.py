"""The compositional net of DCL for the MNIST family: modules Linear 64 -> 64 in soft order."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mpidcl.base.shape import Shape
from mpidcl.model.base import Chance, Width
from mpidcl.model.compositional.base import Compositional, CompositionalOptions, Plan
from mpidcl.model.compositional.soft_order import Modules, soft_order, soft_order_only
from mpidcl.model.flat import Placement
from mpidcl.model.layers import Heads, Linear


class CompositionalMLP(Compositional):
    """Modules Linear, ReLU and dropout in soft order, after a frozen random projection of the pixels.

    By default the net of "Distributed Continual Learning" (arXiv 2405.17466, public code): modules of 4,160
    floats, a basis of 4, heads of 65 floats per class; dropout only after the modules added later.
    """

    class Options(CompositionalOptions):
        """Sizes of the net."""

        width: Width = Field(64, description="units of each module, and of the projection")

    options: Options
    layer = "linear"
    prepares = True
    rows_at_once = 256

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        self.width = options.width
        self.projection = Linear(math.prod(shape.input_shape), self.width, chance.common)
        self._make_modules(self.width, self.width, chance)
        self.module_flops = [2 * self.width * (self.width + 1)] * self.depth
        self.heads = Heads(shape.heads, self.width, shape.classes_per_head, chance.own)
        self._mask_memory = torch.empty(0)

    def place(self, name: str) -> Placement:
        return Placement("frozen") if name.startswith("projection.") else super().place(name)

    def prepare(self, x: Tensor) -> Tensor:
        """Flatten and project rows: x [n, *input_shape] -> z [n, width]."""
        with torch.no_grad():
            projected: Tensor = self.projection(x.flatten(1))
        return projected

    @cached_property
    def _modules_flat(self) -> Modules:
        flat, units = self.flat, self.width
        both = slice(flat.span("shared").start, flat.span("modules").stop)
        structures = flat.span("structures")
        shape = self.structures.shape
        return Modules(
            flat.data[both].view(-1, units + 1),
            flat.grad[both].view(-1, units + 1),
            flat.data[structures].view(shape),
            flat.grad[structures].view(shape),
            units,
        )

    def _encode(self, z: Tensor, plan: Plan) -> Tensor:
        with torch.no_grad():
            mixing = self.weights_of(plan)
            mixing = None if mixing is None else mixing.t().contiguous()
        if not self.training:
            return soft_order_only(z, self._modules_flat, plan, mixing)
        masks = self._masks(plan, len(z))
        scale = 1 / (1 - self.options.dropout)
        leaf = self.flat.leaf("shared")
        return soft_order(z, leaf, self._modules_flat, plan, mixing, masks, scale)

    def _masks(self, plan: Plan, rows: int) -> list[Tensor]:
        """One draw for all depths: masks [modules * units, rows] of the modules that have dropout."""
        count = self._dropped(plan)
        if count == 0:
            return []
        size = count * self.width * rows
        if len(self._mask_memory) < self.depth * size:
            self._mask_memory = torch.empty(self.depth * size, device=self.noise.device)
        flat = self._mask_memory[: self.depth * size]
        self.noise.keep((len(flat),), self.options.dropout, out=flat)
        return [mask.view(-1, rows) for mask in torch.split(flat, size)]

    def _dropped(self, plan: Plan) -> int:
        """How many modules of each depth have dropout: the last ones of each depth."""
        if self.options.dropout == 0:
            return 0
        count = sum(run.last - run.first for run in plan.layers[0])
        if self.options.basis_dropout:
            return count
        return count - self.depth if plan.soft else 0

    def encode_row(self, z: Tensor, head: Tensor) -> Tensor:
        """As `encode_rows` of one row, with the modules as plain parameters (see `Compositional`)."""
        values, mixing = z.unsqueeze(0), self.weights_at(head)
        blocks = self.all_modules()
        for depth in range(self.depth):
            each = torch.einsum("jui,ni->jnu", blocks[:, :, :-1], values) + blocks[:, None, :, -1]
            values = torch.einsum("j,jnu->nu", mixing[:, depth], functional.relu(each))
        return values[0]
