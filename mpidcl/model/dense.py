"""A chain of Linear, ReLU and dropout as one autograd node.

The same sums as the layers one by one, in the same order, but one node with one flat gradient in place
of sixteen: at 64 rows of 64 numbers most of a training step is book-keeping, and this halves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

threshold_backward = torch.ops.aten.threshold_backward.default


class Piece(NamedTuple):
    """Where a layer lies in the flat vector: weight [outputs, inputs] at `start`, then bias [outputs]."""

    inputs: int
    outputs: int
    start: int

    @property
    def stop(self) -> int:
        return self.start + (self.inputs + 1) * self.outputs

    def of(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Views (weight, bias) of this layer in `flat`."""
        middle = self.start + self.inputs * self.outputs
        return flat[self.start : middle].view(self.outputs, self.inputs), flat[middle : self.stop]


def pieces_of(sizes: Sequence[int]) -> tuple[Piece, ...]:
    """Layers sizes[0] -> sizes[1] -> ... one after the other from 0 on."""
    pieces: list[Piece] = []
    for inputs, outputs in pairwise(sizes):
        pieces.append(Piece(inputs, outputs, pieces[-1].stop if pieces else 0))
    return tuple(pieces)


class _Layer(NamedTuple):
    weight: Tensor
    transposed: Tensor
    bias: Tensor
    weight_grad: Tensor
    bias_grad: Tensor


class _Context(Protocol):
    """What a pass forward leaves for the pass backward: beside tensors, which torch keeps, its layers."""

    layers: Sequence[_Layer]
    scale: float

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...

    @property
    def needs_input_grad(self) -> tuple[bool, ...]: ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _DenseStack(torch.autograd.Function):
    """Gradients of the weights are added where they belong, and not handed to autograd.

    Fresh memory for them at every step cost as much as the products: its pages must be touched again.
    """

    @staticmethod
    def forward(
        ctx: _Context,
        z: Tensor,
        leaf: Tensor,
        layers: Sequence[_Layer],
        masks: Sequence[Tensor],
        scale: float,
        opened: list[Tensor] | None,
    ) -> Tensor:
        values = _through(z, layers, masks)
        ctx.save_for_backward(*values)
        ctx.layers, ctx.scale = layers, scale
        if opened is not None:
            opened.extend(value > 0 for value in values[1:])
        return values[-1]

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inward = ctx.needs_input_grad[0]
        change = _back(gradients[0], ctx.saved_tensors, ctx.layers, ctx.scale, inward)
        return (change if inward else None), None, None, None, None, None


def _through(z: Tensor, layers: Sequence[_Layer], masks: Sequence[Tensor]) -> list[Tensor]:
    """z, and the values behind each layer."""
    values = [z]
    for index, layer in enumerate(layers):
        after = torch.addmm(layer.bias, values[-1], layer.transposed).clamp_min_(0)
        values.append(after.mul_(masks[index]) if masks else after)
    return values


def _back(
    change: Tensor, values: Sequence[Tensor], layers: Sequence[_Layer], scale: float, inward: bool
) -> Tensor:
    """Add the gradients of all layers; returns the gradient by z, if it is to go `inward` so far."""
    for index in reversed(range(len(layers))):
        layer = layers[index]
        # A unit is above zero exactly where ReLU and dropout both let it through.
        change = threshold_backward(change, values[index + 1], 0)
        if scale != 1:
            change.mul_(scale)
        torch.addmm(layer.weight_grad, change.t(), values[index], out=layer.weight_grad)
        layer.bias_grad.add_(change.sum(0))
        if index or inward:
            change = torch.mm(change, layer.weight)
    return change


class DenseStack:
    """Layers of `sizes` in the leaf `flat [f]`, which must hold them one after the other and nothing else.

    Views of weights and gradients are made once: neither flat tensor ever moves. Gradients add up in
    `flat.grad` at every backward pass, whatever it was called for.
    """

    def __init__(self, flat: Tensor, sizes: Sequence[int]) -> None:
        if flat.grad is None:
            raise ValueError("`flat` should have a gradient tensor to add to. Found none.")
        self.flat = flat
        self.layers = [_layer(piece, flat.detach(), flat.grad) for piece in pieces_of(sizes)]

    def __call__(
        self,
        z: Tensor,
        masks: Sequence[Tensor] = (),
        scale: float = 1.0,
        opened: list[Tensor] | None = None,
    ) -> Tensor:
        """Encodings [n, last size] of z [n, first size].

        `masks[k] [n, size k + 1]` is multiplied after ReLU k and holds 0 or `scale`; () means no dropout.
        `opened` gets a bool [n, size k + 1] for each layer: where ReLU and dropout both let units through.
        """
        if has_torch_function((z,)):
            # So that a TorchFunctionMode sees the stack, as it sees the layers one by one.
            return handle_torch_function(DenseStack.__call__, (z,), self, z, masks, scale, opened)
        result: Tensor = _DenseStack.apply(z, self.flat, self.layers, masks, scale, opened)  # type: ignore[no-untyped-call]
        return result

    def through(self, z: Tensor, masks: Sequence[Tensor] = ()) -> list[Tensor]:
        """z, and the values [n, size] behind each layer, for a `back` by hand: autograd knows of neither."""
        return _through(z, self.layers, masks)

    def back(self, change: Tensor, values: Sequence[Tensor], scale: float = 1.0) -> None:
        """Add gradients in `flat.grad` from `change [n, last size]`, that by the last of the values."""
        _back(change, values, self.layers, scale, inward=False)


def _layer(piece: Piece, weights: Tensor, gradients: Tensor) -> _Layer:
    weight, bias = piece.of(weights)
    return _Layer(weight, weight.t(), bias, *piece.of(gradients))
