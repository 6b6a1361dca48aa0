"""One head for a batch and for what was drawn beside it, as one autograd node.

Cut, head, and the rows of each draw are ten small nodes on their own, which took as long as a hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from mpidcl_kernels import heads as kernels

Chosen = Tensor | slice
"""Which rows: int64 [m], or all of a slice."""


class _Context(Protocol):
    """What a pass forward leaves for the pass backward."""

    first: int
    chosen: Sequence[Chosen]

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...

    def set_materialize_grads(self, value: bool, /) -> None: ...


class OneHead(torch.autograd.Function):
    """(encodings [first, width] of the batch, and the outputs of each draw) from encodings [n, width].

    `block [1, classes, width + 1]` is the head. `chosen`: which of the rows behind the batch are in a draw.
    """

    @staticmethod
    def forward(
        ctx: _Context, encoded: Tensor, block: Tensor, first: int, chosen: Sequence[Chosen]
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(encoded, block)
        ctx.first, ctx.chosen = first, chosen
        ctx.set_materialize_grads(False)
        logits = functional.linear(encoded[first:], block[0, :, :-1], block[0, :, -1])
        return encoded[:first].clone(), *(rows_of(logits, one) for one in chosen)

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (encoded, block), first = ctx.saved_tensors, ctx.first
        others, by_encoded, by_block = encoded[first:], torch.empty_like(encoded), torch.empty_like(block)
        by_encoded[:first] = 0 if gradients[0] is None else gradients[0]
        if all(by_outputs is None for by_outputs in gradients[1:]):
            by_encoded[first:] = 0
            return by_encoded, None, None, None
        slope = encoded.new_zeros(len(others), block.shape[1])
        for one, by_outputs in zip(ctx.chosen, gradients[1:], strict=True):
            if by_outputs is None:
                continue
            if isinstance(one, slice):
                slope[one] += by_outputs
            else:
                add_rows(slope, one, by_outputs)
        torch.mm(slope, block[0, :, :-1], out=by_encoded[first:])
        by_block[0, :, :-1] = torch.mm(others.t(), slope).t()
        by_block[0, :, -1] = slope.sum(0)
        return by_encoded, by_block, None, None


def add_rows(into: Tensor, rows: Tensor, values: Tensor) -> None:
    """Add values [m, c] to rows [m] of `into [n, c]`."""
    if into.device.type == "cpu" and into.dtype == values.dtype:
        kernels.add_rows(into.numpy(), rows.numpy(), values.contiguous().numpy())
    else:
        into.index_add_(0, rows, values)


def rows_of(tensor: Tensor, chosen: Chosen) -> Tensor:
    """The rows of a tensor [n, ...] that are chosen."""
    return tensor[chosen] if isinstance(chosen, slice) else tensor.index_select(0, chosen)
