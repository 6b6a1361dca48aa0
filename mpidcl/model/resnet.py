"""ResNet-18 (He et al. 2016, table 1) with the stems that continual-learning code bases use."""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.base.shape import Shape
from mpidcl.experiment.options import Options
from mpidcl.model.base import Chance, Model, Width, image_shape
from mpidcl.model.layers import BatchNorm, Conv, Heads
from mpidcl.model.permutations import Axis, Permutation


class Block(nn.Module):
    """Two convolutions 3x3 with BatchNorm, added to the input or to its projection 1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int, chance: Chance, bias: bool = False) -> None:
        super().__init__()
        self.first = Conv(inputs, outputs, chance.own, 3, stride, bias=bias)
        self.first_norm = BatchNorm(outputs)
        self.second = Conv(outputs, outputs, chance.own, 3, bias=bias)
        self.second_norm = BatchNorm(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                Conv(inputs, outputs, chance.own, 1, stride, bias=bias), BatchNorm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        inside = functional.relu(self.first_norm(self.first(x)))
        inside = self.second_norm(self.second(inside))
        return functional.relu(inside + self.shortcut(x))


def he_normal(model: nn.Module, rng: torch.Generator) -> None:
    """Draw the weights of all convolutions anew, N(0, 2 / fan in) (He et al. 2015, equation 10); biases 0."""
    for module in model.modules():
        if isinstance(module, Conv):
            module.weight.data.normal_(0, math.sqrt(2 / module.weight[0].numel()), generator=rng)
            if module.bias is not None:
                module.bias.data.zero_()


class ResNet18(Model):
    """ResNet-18 with one linear head per task.

    `stem`: "cifar" is a convolution 3x3 (images stay 32 x 32), "cifar-pool" the same with a max-pool 3x3
    of stride 2, "cifar-pool2" with a max-pool 2x2, "imagenet" a convolution 7x7 of stride 2 with the first
    max-pool. "cifar-pool2", `init = "he-normal"` and `bias = true` are the net of parallel continual learning
    (arXiv 2401.01054).
    """

    class Options(Options):
        """Sizes of the residual net."""

        stem: Literal["cifar", "cifar-pool", "cifar-pool2", "imagenet"] = Field(
            "cifar", description="first stage, by the size of the images"
        )
        width: Width = Field(64, description="channels of the first stage; the last has 8 times as many")
        init: Literal["default", "he-normal"] = Field(
            "default",
            description="first weights of the convolutions: uniform in +- 1 / sqrt(fan in), or normal with "
            "deviation sqrt(2 / fan in) and biases 0; heads are uniform in both",
        )
        bias: bool = Field(
            False, description="convolutions have biases; BatchNorm, which follows, takes them out again"
        )

    options: Options
    can_mix = True

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        colours, _, _ = image_shape(shape.input_shape)
        large = options.stem == "imagenet"
        width, bias = options.width, options.bias
        self.stem = Conv(colours, width, chance.own, 7 if large else 3, 2 if large else 1, bias=bias)
        self.stem_norm = BatchNorm(width)
        plan = [
            (width, width, 1),
            (width, 2 * width, 2),
            (2 * width, 4 * width, 2),
            (4 * width, 8 * width, 2),
        ]
        self.stages = nn.Sequential()
        for inputs, outputs, stride in plan:
            self.stages.append(Block(inputs, outputs, stride, chance, bias))
            self.stages.append(Block(outputs, outputs, 1, chance, bias))
        self.width = 8 * width
        self.heads = Heads(shape.heads, self.width, shape.classes_per_head, chance.own)
        if options.init == "he-normal":
            he_normal(self, chance.own)

    def encode(self, z: Tensor) -> Tensor:
        images = z if z.dim() == 4 else z.unsqueeze(1)
        values = functional.relu(self.stem_norm(self.stem(images)))
        if self.options.stem == "cifar-pool2":
            values = functional.max_pool2d(values, 2)
        elif self.options.stem != "cifar":
            values = functional.max_pool2d(values, 3, 2, 1)
        return cast(Tensor, self.stages(values)).mean((2, 3))

    def permutations(self) -> tuple[Permutation, ...]:
        """The channels inside each block, and those that skip connections carry from one to the next."""
        inside: list[Permutation] = []
        streams = [
            Permutation("stem", self.options.width, self._made_by("stem", "stem_norm"), ("stem_norm",))
        ]
        for number, block in enumerate(cast("list[Block]", list(self.stages))):
            name, width = f"stages.{number}", len(block.second.weight)
            first = (*self._made_by(f"{name}.first", f"{name}.first_norm"), Axis(f"{name}.second.weight", 1))
            inside.append(Permutation(f"{name}.first", width, first, (f"{name}.first_norm",)))
            _add(streams, Axis(f"{name}.first.weight", 1))
            if len(block.shortcut):
                _add(streams, Axis(f"{name}.shortcut.0.weight", 1))
                streams.append(
                    Permutation(name, width, self._made_by(f"{name}.shortcut.0", f"{name}.shortcut.1"))
                )
            _add(streams, *self._made_by(f"{name}.second", f"{name}.second_norm"), seen=name)
        _add(streams, Axis("heads.block", 2, last=1))
        return (*streams, *inside)

    def _made_by(self, conv: str, norm: str) -> tuple[Axis, ...]:
        """Where the outputs of a convolution and its BatchNorm have their numbers."""
        names = [f"{conv}.weight", *([f"{conv}.bias"] if self.options.bias else [])]
        names += [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        return tuple(Axis(name, 0) for name in names)


def _add(streams: list[Permutation], *places: Axis, seen: str = "") -> None:
    """More places of the last permutation."""
    last = streams[-1]
    shown = (*last.seen, seen) if seen else last.seen
    streams[-1] = Permutation(last.name, last.size, (*last.places, *places), shown)
