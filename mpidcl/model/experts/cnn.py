"""Convolutional experts behind a convolutional encoder."""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.base.shape import Shape
from mpidcl.model.base import MOST_DEPTH, Chance, Deviation, Mean, Width, image_shape
from mpidcl.model.cnn import pooled
from mpidcl.model.colours import Colours
from mpidcl.model.experts.base import Experts, ExpertsOptions, Hidden, order_of_experts
from mpidcl.model.layers import Conv, Heads, Linear
from mpidcl.model.permutations import Axis, Permutation


class ConvExpert(nn.Module):
    """M(x) [n, width]: convolution 3x3, ReLU, max-pool 2, and a linear layer with ReLU."""

    def __init__(self, inputs: tuple[int, int, int], channels: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.conv = Conv(inputs[0], channels, rng)
        high, wide = pooled(*inputs[1:])
        self.linear = Linear(channels * high * wide, width, rng)

    def forward(self, x: Tensor) -> Tensor:
        found = functional.relu(_pooled(self.conv(x)))
        return functional.relu(cast(Tensor, self.linear(found.flatten(1))))


class ExpertsCNN(Experts):
    """Blocks of convolution 3x3, max-pool 2 and ReLU, a router, convolutional experts, and a linear head."""

    class Options(ExpertsOptions):
        """Sizes of encoder and experts."""

        encoder: tuple[Width, ...] = Field(
            (32, 64), min_length=1, max_length=MOST_DEPTH, description="channels of the encoder's blocks"
        )
        hidden: Hidden = Field(32, description="channels of every expert, or a list with those of each")
        width: Width = Field(64, description="outputs of an expert")
        mean: tuple[Mean, ...] | None = Field(
            None, description="subtracted from each channel; by default CIFAR-100's for 3 channels, else 0"
        )
        std: tuple[Deviation, ...] | None = Field(
            None, description="divides each channel; by default CIFAR-100's for 3 channels, else 1"
        )

        @model_validator(mode="after")
        def _one_each(self) -> ExpertsCNN.Options:
            self.sizes(self.hidden)
            return self

    options: Options

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        colours, *size = image_shape(shape.input_shape)
        channels = [colours, *options.encoder]
        self.encoder = nn.ModuleList(
            Conv(before, after, chance.own) for before, after in zip(channels, channels[1:], strict=False)
        )
        for _ in options.encoder:
            size = [*pooled(*size)]
        inputs, self.width = (channels[-1], size[0], size[1]), options.width
        experts = [ConvExpert(inputs, h, self.width, chance.own) for h in options.sizes(options.hidden)]
        self._make_experts([*experts], inputs[0] * inputs[1] * inputs[2], chance)
        self.heads = Heads(shape.heads, self.width, shape.classes_per_head, chance.own)
        self.colours = Colours(options.mean, options.std, colours)

    def permutations(self) -> tuple[Permutation, ...]:
        """Channels of the encoder, the order of experts, channels inside each, and their outputs."""
        experts = range(len(self.experts))
        pixels = self.router.weight.shape[1] // self.options.encoder[-1]
        below = (
            *(Axis(f"experts.{i}.conv.weight", 1) for i in experts),
            Axis("router.weight", 1, pixels),
        )
        layers = len(self.encoder)
        readers = [*((Axis(f"encoder.{k}.weight", 1),) for k in range(1, layers)), below]
        encoder = (
            Permutation(
                f"encoder.{k}",
                size,
                (Axis(f"encoder.{k}.weight", 0), Axis(f"encoder.{k}.bias", 0), *readers[k]),
                (f"encoder.{k}",),
            )
            for k, size in enumerate(self.options.encoder)
        )
        sizes = self.options.sizes(self.options.hidden)
        hidden = (
            Permutation(
                f"experts.{i}",
                sizes[i],
                (
                    Axis(f"experts.{i}.conv.weight", 0),
                    Axis(f"experts.{i}.conv.bias", 0),
                    Axis(f"experts.{i}.linear.weight", 1, self._seen_by(i) // sizes[i]),
                ),
            )
            for i in experts
        )
        outputs = [Axis(f"experts.{i}.linear.{part}", 0) for i in experts for part in ("weight", "bias")]
        return (
            *encoder,
            *order_of_experts(sizes, ("conv.weight", "conv.bias", "linear.weight", "linear.bias")),
            *hidden,
            Permutation("outputs", self.width, (*outputs, Axis("heads.block", 2, last=1))),
        )

    def _seen_by(self, expert: int) -> int:
        """Inputs of the linear layer of an expert."""
        return dict(self.named_parameters())[f"experts.{expert}.linear.weight"].shape[1]

    def features(self, z: Tensor) -> Tensor:
        values = self.colours.normalise(z)
        for block in self.encoder:
            values = functional.relu(_pooled(cast(Tensor, block(values))))
        return values


def _pooled(values: Tensor) -> Tensor:
    """Max-pool 2; one pixel is not pooled any more."""
    return functional.max_pool2d(values, 2) if min(values.shape[2:]) >= 2 else values
