"""ResNet-18 (He et al. 2016, table 1) with the stems that continual-learning code bases use."""

from __future__ import annotations

from typing import Literal, cast

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.model.base import Chance, Model, Shape, image_shape
from mpidcl.model.layers import BatchNorm, Conv, Heads
from mpidcl.options import Options


class Block(nn.Module):
    """Two convolutions 3x3 with BatchNorm, added to the input or to its projection 1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int, chance: Chance) -> None:
        super().__init__()
        self.first = Conv(inputs, outputs, chance.own, 3, stride, bias=False)
        self.first_norm = BatchNorm(outputs)
        self.second = Conv(outputs, outputs, chance.own, 3, bias=False)
        self.second_norm = BatchNorm(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                Conv(inputs, outputs, chance.own, 1, stride, bias=False), BatchNorm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        inside = functional.relu(self.first_norm(self.first(x)))
        inside = self.second_norm(self.second(inside))
        return functional.relu(inside + self.shortcut(x))


class ResNet18(Model):
    """ResNet-18 with one linear head per task.

    `stem`: "cifar" is a convolution 3x3 (images stay 32 x 32), "cifar-pool" the same with a max-pool 3x3
    of stride 2, "imagenet" a convolution 7x7 of stride 2 with that max-pool.
    """

    class Options(Options):
        """Sizes of the residual net."""

        stem: Literal["cifar", "cifar-pool", "imagenet"] = Field(
            "cifar", description="first stage, by the size of the images"
        )
        width: int = Field(64, ge=1, description="channels of the first stage; the last has 8 times as many")

    options: Options

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        colours, _, _ = image_shape(shape.input_shape)
        large = options.stem == "imagenet"
        width = options.width
        self.stem = Conv(colours, width, chance.own, 7 if large else 3, 2 if large else 1, bias=False)
        self.stem_norm = BatchNorm(width)
        plan = [
            (width, width, 1),
            (width, 2 * width, 2),
            (2 * width, 4 * width, 2),
            (4 * width, 8 * width, 2),
        ]
        self.stages = nn.Sequential()
        for inputs, outputs, stride in plan:
            self.stages.append(Block(inputs, outputs, stride, chance))
            self.stages.append(Block(outputs, outputs, 1, chance))
        self.width = 8 * width
        self.heads = Heads(shape.heads, self.width, shape.classes_per_head, chance.own)

    def encode(self, z: Tensor) -> Tensor:
        images = z if z.dim() == 4 else z.unsqueeze(1)
        values = functional.relu(self.stem_norm(self.stem(images)))
        if self.options.stem != "cifar":
            values = functional.max_pool2d(values, 3, 2, 1)
        return cast(Tensor, self.stages(values)).mean((2, 3))
