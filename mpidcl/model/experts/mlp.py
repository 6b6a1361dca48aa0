"""Dense experts behind a dense encoder."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.base.shape import Shape
from mpidcl.model.base import MOST_DEPTH, Chance, Width
from mpidcl.model.experts.base import Experts, ExpertsOptions, Hidden, order_of_experts
from mpidcl.model.experts.dense import dense_dispatch
from mpidcl.model.experts.routing import Routes
from mpidcl.model.layers import Heads, Linear, uniform
from mpidcl.model.permutations import Axis, Permutation
from mpidcl_kernels.experts import Layout


class DenseExpert(nn.Module):
    """M(x) [n, width] = relu(W_2 relu(W_1 x + b_1) + b_2): two blocks whose last column is the bias."""

    def __init__(self, inputs: int, hidden: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.first = uniform((hidden, inputs + 1), inputs, rng)
        self.second = uniform((width, hidden + 1), hidden, rng)

    def forward(self, x: Tensor) -> Tensor:
        for block in (self.first, self.second):
            x = functional.relu(functional.linear(x, block[:, :-1], block[:, -1]))
        return x


class ExpertsMLP(Experts):
    """Linear layers with ReLU, a router, dense experts of one hidden layer, and a linear head.

    The first configuration of DMKD for the MNIST family: one encoder layer of 128, 8 experts of 64, 2 of them
    for each row.
    """

    class Options(ExpertsOptions):
        """Sizes of encoder and experts."""

        encoder: tuple[Width, ...] = Field(
            (128,), min_length=1, max_length=MOST_DEPTH, description="sizes of the encoder's layers"
        )
        hidden: Hidden = Field(64, description="hidden units of every expert, or a list with those of each")
        width: Width = Field(64, description="outputs of an expert")

        @model_validator(mode="after")
        def _one_each(self) -> ExpertsMLP.Options:
            self.sizes(self.hidden)
            return self

    options: Options
    kernels = ("experts",)
    rows_at_once = 1024

    def __init__(self, options: Options, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        sizes = [math.prod(shape.input_shape), *options.encoder]
        self.encoder = nn.ModuleList(
            Linear(before, after, chance.own) for before, after in zip(sizes, sizes[1:], strict=False)
        )
        inputs, self.width = sizes[-1], options.width
        experts = [DenseExpert(inputs, h, self.width, chance.own) for h in options.sizes(options.hidden)]
        self._make_experts([*experts], inputs, chance)
        self.heads = Heads(shape.heads, self.width, shape.classes_per_head, chance.own)

    def prepare(self, x: Tensor) -> Tensor:
        """Flatten rows: x [n, *input_shape] -> z [n, inputs]."""
        return x.flatten(1)

    @cached_property
    def _layout(self) -> Layout:
        return Layout.of(self.router.weight.shape[1], self.width, self.options.sizes(self.options.hidden))

    def permutations(self) -> tuple[Permutation, ...]:
        """Units of the encoder's layers, the order of experts, units inside each, and their outputs."""
        experts = range(len(self.experts))
        below = (*(Axis(f"experts.{i}.first", 1, last=1) for i in experts), Axis("router.weight", 1))
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
                (Axis(f"experts.{i}.first", 0), Axis(f"experts.{i}.second", 1, last=1)),
            )
            for i in experts
        )
        outputs = (*(Axis(f"experts.{i}.second", 0) for i in experts), Axis("heads.block", 2, last=1))
        return (
            *encoder,
            *order_of_experts(sizes, ("first", "second")),
            *hidden,
            Permutation("outputs", self.width, outputs),
        )

    @property
    def even_cost(self) -> bool:
        return self.flat.device.type == "cpu" or super().even_cost

    def answers(self, x: Tensor, routes: Routes) -> Tensor:
        if x.device.type != "cpu" or x.dtype != torch.float32:
            return super().answers(x, routes)
        layout = self._layout
        work = 2 * (layout.inputs + self.width) * int(layout.hidden[routes.chosen.numpy()].sum())
        self.unseen_flops += 3 * work if self.training else work
        return dense_dispatch(x, routes, self.flat.leaf("modules"), layout)

    def features(self, z: Tensor) -> Tensor:
        for layer in self.encoder:
            z = functional.relu(layer(z))
        return z
