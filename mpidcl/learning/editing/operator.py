"""Gradients by the pixels of a batch, and how they change when the parameters move: no second derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mpidcl.learning.editing.pattern import Pattern, deciding
from mpidcl.model.flat import FlatParameters

Loss = Callable[[Tensor], Tensor]
"""Scalar loss of rows x [m, *shape] at the parameters of this moment."""
REACH = 0.002
"""How far a central difference moves the parameters each way (l2), unless told otherwise."""


def input_gradient(loss: Loss, flat: FlatParameters, x: Tensor) -> Tensor:
    """Gradient [m, *shape] of loss(x) by the rows x [m, *shape]; `flat.grad` stays as it is.

    No gradient by a parameter is computed. Raises ValueError when the loss does not depend on x.
    """
    rows = x.detach().requires_grad_()
    with torch.enable_grad(), flat.resting():
        value = loss(rows)
        if not value.requires_grad:
            raise ValueError(
                "The loss should depend on the rows that are edited. It has no gradient by them: the model"
                " detaches its inputs, or the loss was made of other rows."
            )
        return torch.autograd.grad(value, rows)[0]


def parameter_gradient(loss: Loss, flat: FlatParameters, x: Tensor, pattern: Pattern | None = None) -> Tensor:
    """Gradient [p] of loss(x) by all parameters that learn; `flat.grad` stays as it is.

    `pattern` gets what ReLUs and max-pools decide on the way.
    """
    kept = flat.grad.clone()
    flat.zero_grad()
    try:
        with torch.enable_grad():
            with deciding(pattern):
                value = loss(x.detach())
            value.backward()  # type: ignore[no-untyped-call]
        return flat.grad.clone()
    finally:
        flat.grad.copy_(kept)


def input_grad_dot(
    loss: Loss,
    flat: FlatParameters,
    x: Tensor,
    v: Tensor,
    reach: float = REACH,
    pattern: Pattern | None = None,
) -> Tensor:
    """Gradient [m, *shape] by x of <grad_theta loss(x), v>, for a vector v [p] of the parameters' space.

    A central difference: (grad_x loss at theta + eps v - grad_x loss at theta - eps v) / (2 eps) with
    eps = reach / |v|. Two passes for input gradients, in place of differentiating twice. ReLUs and
    max-pools decide at both ends as they do at theta: see `Pattern`. `pattern` is what they decided for the
    same rows at theta, in a pass that was made anyway; without one, or if it is empty, this makes one more
    forward pass.

    The parameters are moved in place, and put back bit for bit even when the loss raises. BatchNorm
    statistics move as in any forward passes: the caller puts them back.

    Zeros for v = 0, NaN when v holds NaN or Inf. Raises ValueError when v is not [p], RuntimeError when
    `pattern` is that of another net.
    """
    length = float(torch.linalg.vector_norm(_checked(flat, v)))
    if length == 0 or not math.isfinite(length):
        return torch.full_like(x, 0.0 if length == 0 else math.nan)
    eps = reach / length
    known = _decided(loss, flat, x) if pattern is None or pattern.empty else pattern.copy()

    def smooth(rows: Tensor) -> Tensor:
        with known.held():
            return loss(rows)

    with moving(flat) as move:
        move(v, eps)
        ahead = input_gradient(smooth, flat, x)
        move(v, -eps)
        behind = input_gradient(smooth, flat, x)
    return ahead.sub_(behind).div_(2 * eps)


def _decided(loss: Loss, flat: FlatParameters, x: Tensor) -> Pattern:
    pattern = Pattern()
    with torch.no_grad(), flat.resting(), pattern.deciding():
        loss(x)
    return pattern


@contextmanager
def moving(flat: FlatParameters) -> Iterator[Callable[[Tensor, float], None]]:
    """Inside, `move(v, step)` puts those parameters that learn at theta + step v; theta is back at the end.

    theta is copied back and not computed back, so every bit of it returns.
    """
    weights = flat.data[: flat.grad.numel()]
    theta = weights.clone()

    def move(v: Tensor, step: float) -> None:
        torch.add(theta, v, alpha=step, out=weights)

    try:
        yield move
    finally:
        weights.copy_(theta)


def _checked(flat: FlatParameters, v: Tensor) -> Tensor:
    if v.shape != flat.grad.shape:
        raise ValueError(
            f"`v` should be [{flat.grad.numel()}], one number for each parameter that learns. Found"
            f" {list(v.shape)}."
        )
    return v
