"""The compositional net of DCL for CIFAR-100: convolutions of 50 channels in soft order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mpidcl.base.shape import Shape
from mpidcl.errors import ExperimentError
from mpidcl.model.base import Chance, Deviation, Mean, Width, image_shape
from mpidcl.model.cnn import pooled
from mpidcl.model.colours import Colours
from mpidcl.model.compositional.base import Compositional, CompositionalOptions, Plan, Run, overlap
from mpidcl.model.layers import Dropout, Heads


class CompositionalCNN(Compositional):
    """Modules of convolution 3x3, max-pool 2, ReLU and dropout in soft order.

    By default the net of "Distributed Continual Learning" for CIFAR-100 (arXiv 2405.17466, public code):
    colours normalised and padded with zeros to 50 channels, modules of 22,550 floats, a basis of 4, heads
    Linear 200 -> classes. An image of one pixel is not pooled any more.
    """

    class Options(CompositionalOptions):
        """Sizes of the net."""

        width: Width = Field(50, description="channels of each module")
        basis_dropout: bool = Field(True, description="dropout after modules of the basis, too")
        mean: tuple[Mean, ...] | None = Field(
            None, description="subtracted from each channel; by default CIFAR-100's for 3 channels, else 0"
        )
        std: tuple[Deviation, ...] | None = Field(
            None, description="divides each channel; by default CIFAR-100's for 3 channels, else 1"
        )

    options: Options
    layer = "conv"

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        channels, height, width = image_shape(shape.input_shape)
        if channels > options.width:
            raise ExperimentError(
                f"model.width should be at least the {channels} channels of the images: modules take their"
                f" input and each other's outputs. Found {options.width}."
            )
        self.module_flops = []
        for depth in range(self.depth):
            inputs = options.width if depth else channels
            self.module_flops.append(2 * options.width * 9 * inputs * height * width)
            height, width = pooled(height, width)
        self.width = options.width * height * width
        self._make_modules(options.width, 9 * options.width, chance)
        self.heads = Heads(shape.heads, self.width, shape.classes_per_head, chance.own)
        self.dropout = Dropout(options.dropout, chance.noise)
        self.colours = Colours(options.mean, options.std, channels)
        self._leaves: dict[int, Tensor] = {}

    def _encode(self, z: Tensor, plan: Plan) -> Tensor:
        if plan.structure and torch.is_grad_enabled():
            mixing = self.weights_of(plan)
        else:
            with torch.no_grad():
                mixing = self.weights_of(plan)
        values = self.colours.normalise(z)
        for depth, runs in enumerate(plan.layers):
            numbers = [number for run in runs for number in range(*run)]
            values = self._mix(values, numbers, plan, None if mixing is None else mixing[:, depth])
        return values.flatten(1)

    def _mix(self, values: Tensor, numbers: Sequence[int], plan: Plan, weights: Tensor | None) -> Tensor:
        """Weighted sum of the modules' outputs; of one module its output.

        Module by module: outputs of all modules side by side take more memory than malloc uses again. With 7
        modules and a candidate a step of 64 rows then took a quarter longer.
        """
        if weights is None:
            return self._output(numbers[0], values, plan)
        total = None
        for weight, number in zip(weights.unbind(), numbers, strict=True):
            part = self._output(number, values, plan) * weight
            total = part if total is None else total + part
        assert total is not None  # every depth has modules
        return total

    def _output(self, number: int, values: Tensor, plan: Plan) -> Tensor:
        """Output [n, channels, h', w'] of one module for [n, c, h, w]."""
        run = Run(number, number + 1)
        block = self._leaf(number) if overlap(run, plan.learning) == run else self.module(number)
        # Images with fewer channels count as padded with zeros: the same sums without the products.
        weight = block[:, :-1].reshape(len(block), -1, 3, 3)[:, : values.shape[1]]
        found = functional.relu(_pool(functional.conv2d(values, weight, block[:, -1], padding=1)))
        dropped = self.options.basis_dropout or number >= self.depth
        return self.dropout(found) if dropped else found

    def encode_row(self, z: Tensor, head: Tensor) -> Tensor:
        """As `encode_rows` of one row, with the modules as plain parameters."""
        values, mixing = self.colours.normalise(z.unsqueeze(0)), self.weights_at(head)
        block = self.all_modules()
        weight, bias = block[:, :, :-1].reshape(*block.shape[:2], -1, 3, 3), block[:, :, -1]
        for depth in range(self.depth):
            used = weight[:, :, : values.shape[1]].flatten(0, 1)
            found = functional.relu(_pool(functional.conv2d(values, used, bias.flatten(), padding=1)))
            each = found.view(1, len(block), -1, *found.shape[2:])
            values = (each * mixing[:, depth].view(1, -1, 1, 1, 1)).sum(1)
        return values.flatten()

    def _leaf(self, number: int) -> Tensor:
        """A module's block [outputs, inputs + 1] as an autograd leaf whose gradient lies in the flat one."""
        if number not in self._leaves:
            size = self.module_shape[0] * self.module_shape[1]
            start = self.flat.span("shared").start + number * size
            leaf = self.flat.data[start : start + size].view(self.module_shape).detach().requires_grad_()
            leaf.grad = self.flat.grad[start : start + size].view(self.module_shape)
            self._leaves[number] = leaf
        return self._leaves[number]


def _pool(values: Tensor) -> Tensor:
    return functional.max_pool2d(values, 2) if min(values.shape[2:]) >= 2 else values
