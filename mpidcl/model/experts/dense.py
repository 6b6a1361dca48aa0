"""Dense experts on the CPU as one autograd node: one call each way (`mpidcl_kernels.experts`)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from mpidcl.model.experts.routing import Routes
from mpidcl_kernels import experts as kernels


class _Context(Protocol):
    """What a pass forward leaves for the pass backward."""

    passed: kernels.Passed
    flat: Tensor
    layout: kernels.Layout


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, x: Tensor, gates: Tensor, chosen: Tensor, flat: Tensor, layout: kernels.Layout
    ) -> Tensor:
        y, ctx.passed = kernels.forward(
            x.detach().numpy(),
            chosen.numpy(),
            gates.detach().numpy(),
            flat.detach().numpy(),
            layout,
        )
        ctx.flat, ctx.layout = flat, layout
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        into = None if ctx.flat.grad is None or not ctx.flat.requires_grad else ctx.flat.grad.numpy()
        found = kernels.backward(
            gradients[0].numpy(), ctx.passed, ctx.flat.detach().numpy(), ctx.layout, into
        )
        return torch.from_numpy(found[0]), torch.from_numpy(found[1]), None, None, None


def dense_dispatch(x: Tensor, routes: Routes, flat: Tensor, layout: kernels.Layout) -> Tensor:
    """y [n, width] of x [n, inputs], as `dispatch` with the dense experts that lie in the leaf `flat [f]`.

    Gradients of their weights are added to `flat.grad` and not handed to autograd.
    """
    found: Tensor = _Dense.apply(x.contiguous(), routes.gates.contiguous(), routes.chosen, flat, layout)  # type: ignore[no-untyped-call]
    return found
