"""A chain of Linear, ReLU and dropout as one autograd node.

The same sums as the layers one by one, in the same order, but one node with one flat gradient in place
of sixteen: at 64 rows of 64 numbers most of a training step is book-keeping, and this halves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Piece(NamedTuple):
    """Where a layer lies in the flat vector: weight [outputs, inputs] at `weight`, bias [outputs] at `bias`."""

    inputs: int
    outputs: int
    weight: int
    bias: int

    def of(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Views (weight, bias) of this layer in `flat`."""
        weight = flat.as_strided((self.outputs, self.inputs), (self.inputs, 1), flat.storage_offset() + self.weight)
        return weight, flat.as_strided((self.outputs,), (1,), flat.storage_offset() + self.bias)


class _DenseStack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, flat: Tensor, pieces: Sequence[Piece], masks: Sequence[Tensor], scale: float
    ) -> Tensor:
        layers = [piece.of(flat) for piece in pieces]
        values = [z]
        for index, (weight, bias) in enumerate(layers):
            after = torch.addmm(bias, values[-1], weight.t()).clamp_min_(0)
            values.append(after.mul_(masks[index]) if masks else after)
        ctx.save_for_backward(*values)
        ctx.layers, ctx.pieces, ctx.size, ctx.scale = layers, pieces, flat.numel(), scale
        return values[-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        values, scale = ctx.saved_tensors, ctx.scale
        change = gradients[0]
        flat = change.new_empty(ctx.size)
        for index in reversed(range(len(ctx.layers))):
            # A unit is above zero exactly where ReLU and dropout both let it through.
            change = torch.ops.aten.threshold_backward(change, values[index + 1], 0)
            if scale != 1:
                change.mul_(scale)
            to_weight, to_bias = ctx.pieces[index].of(flat)
            torch.mm(change.t(), values[index], out=to_weight)
            torch.sum(change, 0, out=to_bias)
            if index or ctx.needs_input_grad[0]:
                change = torch.mm(change, ctx.layers[index][0])
        return (change if ctx.needs_input_grad[0] else None), flat, None, None, None


def dense_stack(
    z: Tensor, flat: Tensor, pieces: Sequence[Piece], masks: Sequence[Tensor] = (), scale: float = 1.0
) -> Tensor:
    """Encode z [n, inputs] by all layers in `flat [f]`, which must hold the pieces' layers and nothing else.

    `masks[k] [n, outputs_k]` is multiplied after ReLU k and holds 0 or `scale`; () means no dropout.
    Returns [n, outputs of the last layer]. Gradients of `flat` come as one vector [f].
    """
    result: Tensor = _DenseStack.apply(z, flat, pieces, masks, scale)  # type: ignore[no-untyped-call]
    return result
