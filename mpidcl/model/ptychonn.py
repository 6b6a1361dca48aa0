"""PtychoNN: from a diffraction pattern to amplitude and phase of the object, by one encoder and two decoders.

Cherukara et al. 2020, "AI-enabled high-resolution scanning coherent diffraction imaging", Applied Physics
Letters 117, 044103; sizes as in the public code of distributed rehearsal buffers (four stages).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.base.shape import Shape
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.model.base import Chance, Deviation, Mean, Model, Width, image_shape
from mpidcl.model.colours import Colours
from mpidcl.model.layers import BatchNorm, Conv
from mpidcl.model.one_head import Chosen, rows_of
from mpidcl.model.resnet import he_normal

STAGES = 4
"""Max-pools of the encoder, and doublings of a decoder: the side of an image is a multiple of 2^4."""


class Stage(nn.Module):
    """Two convolutions 3x3 with ReLU, and BatchNorm if `norm`: [n, inputs, h, w] -> [n, outputs, h, w]."""

    def __init__(self, inputs: int, outputs: int, norm: bool, rng: torch.Generator) -> None:
        super().__init__()
        self.first, self.second = Conv(inputs, outputs, rng), Conv(outputs, outputs, rng)
        self.norms = nn.ModuleList((BatchNorm if norm else nn.Identity)(outputs) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        inside = functional.relu(self.norms[0](self.first(x)))
        return functional.relu(self.norms[1](self.second(inside)))


class Decoder(nn.Module):
    """Stages of `channels`, the size doubled after each; then one convolution to one image."""

    def __init__(self, channels: list[int], norm: bool, rng: torch.Generator) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(*pair, norm, rng) for pair in pairwise(channels))
        self.last = Conv(channels[-1], 1, rng)

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = doubled(stage(x))
        image: Tensor = self.last(x)
        return image


class PtychoNN(Model):
    """Encoder and two decoders; the outputs of a row are its amplitude, then its phase [2 height width].

    The encoder goes from 1 to `width`, 2, 4 and 8 times as many channels, with a max-pool 2 after each; a
    decoder from there over 8, 4, 2 and 1 times `width` to one image. The amplitude is linear, the phase
    pi tanh. There are no heads of tasks: all parameters are shared.
    """

    class Options(Options):
        """Size of the net, and its first weights."""

        width: Width = Field(32, description="channels of the first stage; the last has 8 times as many")
        init: Literal["default", "he-normal"] = Field(
            "default",
            description="first weights: uniform in +- 1 / sqrt(fan in), as published, or normal with"
            " deviation sqrt(2 / fan in) and biases 0, with which short runs learn sooner",
        )
        batch_norm: bool = Field(
            False, description="BatchNorm after every convolution but the last ones, which short runs need"
        )
        mean: tuple[Mean, ...] | None = Field(
            None, description="subtracted from each channel of the pattern; by default 0"
        )
        std: tuple[Deviation, ...] | None = Field(
            None, description="divides each channel of the pattern; by default 1"
        )

    options: Options
    can_mix = True

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """An objective that wants heads of classes."""
        table = use.mine.learning.objective
        if table.used and kinds.resolve("objective", table.kind).classes:
            yield Problem(
                ("model", "kind"),
                f'should be a model with heads, such as "cnn", with learning.objective = "{table.kind}".'
                f' Found "{use.mine.model.kind}", which answers two images: learning.objective = "images"',
            )

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        colours, height, width = image_shape(shape.input_shape)
        self._check(shape, height, width)
        channels = [colours, *(options.width * 2**stage for stage in range(STAGES))]
        self.encoder = nn.ModuleList(
            Stage(*pair, options.batch_norm, chance.own) for pair in pairwise(channels)
        )
        back = [channels[-1], *reversed(channels[1:])]
        self.amplitude, self.phase = (Decoder(back, options.batch_norm, chance.own) for _ in range(2))
        if options.init == "he-normal":
            he_normal(self, chance.own)
        self.smallest = channels[-1], height >> STAGES, width >> STAGES
        self.width = math.prod(self.smallest)
        self.colours = Colours(options.mean, options.std, colours)

    @staticmethod
    def _check(shape: Shape, height: int, width: int) -> None:
        """Raises ExperimentError for a stream whose rows or answers do not fit."""
        least, outputs = 2**STAGES, (1, 2 * height * width)
        if height % least or width % least or (shape.heads, shape.classes_per_head) != outputs:
            raise ExperimentError(
                f'model.kind = "ptychonn" should have rows whose sides are multiples of {least}, and two'
                ' images of this size to answer, such as those of stream.kind = "ptychography". Found rows'
                f" {list(shape.input_shape)} and {shape.heads} x {shape.classes_per_head} outputs."
            )

    def encode(self, z: Tensor) -> Tensor:
        values = self.colours.normalise(z)
        for stage in self.encoder:
            values = functional.max_pool2d(stage(values), 2)
        return values.flatten(1)

    def logits(self, encoded: Tensor, heads: Tensor) -> Tensor:
        return self.outputs_of(encoded, 0)

    def outputs_of(self, encoded: Tensor, head: int) -> Tensor:
        values = encoded.view(-1, *self.smallest)
        with self.casting():
            images = self.amplitude(values), self.phase(values)
        amplitude, phase = (image.flatten(1).float() for image in images)
        return torch.cat([amplitude, math.pi * torch.tanh(phase)], 1)

    def outputs_beside(
        self, encoded: Tensor, first: int, heads: Tensor, chosen: Sequence[Chosen]
    ) -> tuple[Tensor, list[Tensor]]:
        batch, others = torch.split(encoded, [first, len(encoded) - first])
        outputs = self.outputs_of(others, 0)
        return batch, [rows_of(outputs, one) for one in chosen]


def doubled(x: Tensor) -> Tensor:
    """Images [n, c, h, w] -> [n, c, 2 h, 2 w], bilinear.

    On a GPU by two products: torch's own gradient there adds in any order, with other bits each time.
    """
    if x.device.type == "cpu":
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return by_products(x)


def by_products(x: Tensor) -> Tensor:
    """What `doubled` gives, as two products with fixed matrices."""
    return _doubling(x.shape[2], x) @ x @ _doubling(x.shape[3], x).t()


def _doubling(size: int, like: Tensor) -> Tensor:
    """Matrix [2 size, size]: a new pixel is 3/4 of the old one that it lies in, and 1/4 of its neighbour."""
    new = torch.arange(2 * size, device=like.device)
    beside = (new // 2 + torch.where(new % 2 == 0, -1, 1)).clamp(0, size - 1)
    rows = torch.eye(size, dtype=like.dtype, device=like.device)
    return 0.75 * rows[new // 2] + 0.25 * rows[beside]
