"""The compositional net of DCL for CIFAR-100: convolutions of 50 channels in soft order."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mpidcl.errors import ExperimentError
from mpidcl.model.base import Chance, Shape, image_shape
from mpidcl.model.cnn import pooled
from mpidcl.model.colours import Colours
from mpidcl.model.compositional import Compositional, CompositionalOptions, Plan, Run
from mpidcl.model.layers import Dropout, Heads


class CompositionalCNN(Compositional):
    """Modules of convolution 3x3, max-pool 2, ReLU and dropout in soft order.

    By default the net of "Distributed Continual Learning" for CIFAR-100 (arXiv 2405.17466, public code):
    colours normalised and padded with zeros to 50 channels, modules of 22,550 floats, a basis of 4, heads
    Linear 200 -> classes. An image of one pixel is not pooled any more.
    """

    class Options(CompositionalOptions):
        """Sizes of the net."""

        width: int = Field(50, ge=1, description="channels of each module")
        basis_dropout: bool = Field(True, description="dropout after modules of the basis, too")
        mean: tuple[float, ...] | None = Field(
            None, description="subtracted from each channel; by default CIFAR-100's for 3 channels, else 0"
        )
        std: tuple[float, ...] | None = Field(
            None, description="divides each channel; by default CIFAR-100's for 3 channels, else 1"
        )

    options: Options

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
            outputs = [
                self._outputs(part, values, plan) for run in runs for part in _split(run, plan.learning)
            ]
            values = _mix(outputs, None if mixing is None else mixing[:, depth])
        return values.flatten(1)

    def _outputs(self, run: Run, values: Tensor, plan: Plan) -> Tensor:
        """Outputs [n, modules, channels, h, w] of a run of modules, all of which learn, or none."""
        learns = (
            plan.learning is not None and run.first >= plan.learning.first and run.last <= plan.learning.last
        )
        blocks = [self._leaf(j) if learns else self.module(j) for j in range(*run)]
        block = torch.cat(blocks)
        # Images with fewer channels count as padded with zeros: the same sums without the products.
        weight = block[:, :-1].reshape(len(block), -1, 3, 3)[:, : values.shape[1]]
        found = functional.conv2d(values, weight, block[:, -1], padding=1)
        return self._drop(run, _by_module(functional.relu(_pool(found)), len(blocks)))

    def encode_row(self, z: Tensor, head: Tensor) -> Tensor:
        """As `encode_rows` of one row, with the modules as plain parameters."""
        values, mixing = self.colours.normalise(z.unsqueeze(0)), self.all_weights()[head]
        block = self.all_modules()
        weight, bias = block[:, :, :-1].reshape(*block.shape[:2], -1, 3, 3), block[:, :, -1]
        for depth in range(self.depth):
            used = weight[:, :, : values.shape[1]].flatten(0, 1)
            found = functional.relu(_pool(functional.conv2d(values, used, bias.flatten(), padding=1)))
            values = _mix([_by_module(found, len(block))], mixing[:, depth])
        return values.flatten()

    def _drop(self, run: Run, found: Tensor) -> Tensor:
        first = 0 if self.options.basis_dropout else max(0, self.depth - run.first)
        if first == 0:
            return self.dropout(found)  # type: ignore[no-any-return]
        if first >= run.last - run.first:
            return found
        return torch.cat([found[:, :first], self.dropout(found[:, first:])], 1)

    def _leaf(self, number: int) -> Tensor:
        """A module's block [outputs, inputs + 1] as an autograd leaf whose gradient lies in the flat one."""
        if number not in self._leaves:
            size = self.module_shape[0] * self.module_shape[1]
            start = self.flat.span("shared").start + number * size
            leaf = self.flat.data[start : start + size].view(self.module_shape).detach().requires_grad_()
            leaf.grad = self.flat.grad[start : start + size].view(self.module_shape)
            self._leaves[number] = leaf
        return self._leaves[number]


def _by_module(values: Tensor, modules: int) -> Tensor:
    """Outputs [n, modules, c, h, w] of the channels [n, modules * c, h, w]."""
    return values.view(len(values), modules, -1, *values.shape[2:])


def _pool(values: Tensor) -> Tensor:
    return functional.max_pool2d(values, 2) if min(values.shape[2:]) >= 2 else values


def _split(run: Run, learning: Run | None) -> list[Run]:
    """The parts of a run that learn, and those that do not: frozen ones need no gradient."""
    if learning is None:
        return [run]
    cuts = sorted({run.first, run.last, *(cut for cut in learning if run.first < cut < run.last)})
    return [Run(*pair) for pair in zip(cuts, cuts[1:], strict=False)]


def _mix(outputs: list[Tensor], weights: Tensor | None) -> Tensor:
    """Sum over modules of outputs [n, modules, c, h, w], weighted; without weights of one module."""
    every = outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)
    if weights is None:
        return every[:, 0]
    count, _, *size = every.shape
    return torch.matmul(weights, every.flatten(2)).view(count, *size)
