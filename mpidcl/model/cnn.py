"""Convolutional nets: the DCL net for CIFAR-100 (four convolutions of 50 channels) and plain ones."""

from __future__ import annotations

from typing import cast

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.base.shape import Shape
from mpidcl.experiment.options import Options
from mpidcl.model.base import MOST_DEPTH, Chance, Deviation, Mean, Model, Width, image_shape
from mpidcl.model.colours import Colours
from mpidcl.model.layers import Conv, Dropout, Heads
from mpidcl.model.permutations import Axis, Permutation


class CNN(Model):
    """Blocks of convolution 3x3, max-pool 2, ReLU and dropout, and one linear head per task.

    By default the net of "Distributed Continual Learning" for CIFAR-100 (arXiv 2405.17466, public code):
    colours normalised, channels zero-padded to 50, 4 convolutions 50 -> 50 (90,200 shared floats),
    heads Linear 200 -> classes. Images that have shrunk to one pixel are not pooled any more.
    With `channels` a plain net of these sizes, without the padding.
    """

    class Options(Options):
        """Sizes of the convolutional net."""

        width: Width = Field(50, description="channels of each block")
        depth: int = Field(4, ge=1, le=MOST_DEPTH, description="number of blocks before the head")
        dropout: float = Field(0.5, ge=0, lt=1, description="share of units dropped after each block")
        channels: tuple[Width, ...] | None = Field(
            None,
            min_length=1,
            max_length=MOST_DEPTH,
            description="channels of the blocks, in place of `width` and `depth`",
        )
        mean: tuple[Mean, ...] | None = Field(
            None,
            description="subtracted from each channel; by default CIFAR-100's for 3 channels, else 0",
        )
        std: tuple[Deviation, ...] | None = Field(
            None,
            description="divides each channel; by default CIFAR-100's for 3 channels, else 1",
        )

    options: Options
    can_mix = True

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        colours, height, width = image_shape(shape.input_shape)
        sizes = list(options.channels or [options.width] * options.depth)
        # Convolutions of fewer channels than they have inputs take the rest as zeros: the published padding.
        first = colours if options.channels else max(colours, options.width)
        self.blocks = nn.ModuleList(
            Conv(before, after, chance.own) for before, after in zip([first, *sizes], sizes, strict=False)
        )
        self.dropout = Dropout(options.dropout, chance.noise)
        for _ in sizes:
            height, width = pooled(height, width)
        self._sizes = sizes
        self.width = sizes[-1] * height * width
        self.heads = Heads(shape.heads, self.width, shape.classes_per_head, chance.own)
        self.colours = Colours(options.mean, options.std, colours)

    def permutations(self) -> tuple[Permutation, ...]:
        """The channels of each block; the head reads those of the last one, flattened."""
        readers = [*(Axis(f"blocks.{k}.weight", 1) for k in range(1, len(self.blocks)))]
        readers.append(Axis("heads.block", 2, self.width // self._sizes[-1], last=1))
        return tuple(
            Permutation(
                f"blocks.{k}",
                size,
                (Axis(f"blocks.{k}.weight", 0), Axis(f"blocks.{k}.bias", 0), readers[k]),
                (f"blocks.{k}",),
            )
            for k, size in enumerate(self._sizes)
        )

    def encode(self, z: Tensor) -> Tensor:
        values = self.colours.normalise(z)
        for block in self.blocks:
            values = cast(Tensor, block(values))
            if min(values.shape[2:]) >= 2:
                values = functional.max_pool2d(values, 2)
            values = self.dropout(functional.relu(values))
        return values.flatten(1)


def pooled(height: int, width: int) -> tuple[int, int]:
    """Size of an image after max-pool 2; one pixel is not pooled any more."""
    return (height // 2, width // 2) if min(height, width) >= 2 else (height, width)
