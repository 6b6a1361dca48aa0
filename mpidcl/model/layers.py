"""Layers whose every random number comes from a generator that the caller gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.model.noise import Noise
from mpidcl.model.one_head import Chosen, OneHead, rows_of
from mpidcl_kernels import heads as kernels


def uniform(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> nn.Parameter:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): torch's default for weights and biases.

    The default weight rule, Kaiming uniform with a = sqrt(5), has this bound exactly:
    sqrt(6 / ((1 + 5) fan_in)) = 1 / sqrt(fan_in) (He et al. 2015, equation 10).
    """
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=rng))


class Linear(nn.Module):
    """y [n, out] = x [n, in] weight^T + bias."""

    def __init__(self, inputs: int, outputs: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((outputs, inputs), inputs, rng)
        self.bias = uniform((outputs,), inputs, rng)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class Conv(nn.Module):
    """Square convolution [n, in, h, w] -> [n, out, h', w'].

    With fewer channels in `x` than `inputs` the missing ones count as zeros: the same sums as for `x`
    padded with zero channels, without multiplying by them.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rng: torch.Generator,
        size: int = 3,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        fan_in = inputs * size * size
        self.stride, self.padding = stride, size // 2
        self.weight = uniform((outputs, inputs, size, size), fan_in, rng)
        self.bias = uniform((outputs,), fan_in, rng) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if x.shape[1] == self.weight.shape[1] else self.weight[:, : x.shape[1]]
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm without the count of batches, which only a cumulative average would need."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            # One value per channel has no variance: a last batch of one row is normalised as in eval mode.
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class Dropout(nn.Module):
    """Sets each unit to zero with probability `p` while training, and scales the rest by 1 / (1 - p)."""

    def __init__(self, p: float, noise: Noise) -> None:
        super().__init__()
        self.p, self.noise = p, noise

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * self.noise.keep(tuple(x.shape), self.p)


class _Context(Protocol):
    """What torch keeps between a pass forward and the pass backward."""

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...

    def set_materialize_grads(self, value: bool, /) -> None: ...


class _RowHeads(torch.autograd.Function):
    """All heads in one product, then each row keeps the answer of its own head."""

    @staticmethod
    def forward(ctx: _Context, z: Tensor, block: Tensor, heads: Tensor) -> Tensor:
        count, classes, columns = block.shape
        rows = block.view(count * classes, columns)
        everything = torch.addmm(rows[:, -1], z, rows[:, :-1].t()).view(len(z), count, classes)
        ctx.save_for_backward(z, block, heads)
        return everything[torch.arange(len(z), device=z.device), heads]

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        return *_head_gradients(gradients[0], *ctx.saved_tensors), None


class _HeadLoss(torch.autograd.Function):
    """Heads and mean cross-entropy as one node, compiled: returns (loss, logits)."""

    @staticmethod
    def forward(ctx: _Context, z: Tensor, block: Tensor, heads: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits, slope = kernels.cross_entropy(z.numpy(), block.numpy(), heads.numpy(), y.numpy())
        ctx.save_for_backward(z, block, heads, torch.from_numpy(slope))
        ctx.set_materialize_grads(False)
        return torch.from_numpy(np.array(loss, logits.dtype)), torch.from_numpy(logits)

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor | None) -> tuple[Tensor, Tensor, None, None]:
        z, block, heads, slope = ctx.saved_tensors
        by_loss, by_logits = gradients
        change = torch.zeros_like(slope) if by_loss is None else slope * by_loss
        if by_logits is not None:
            change = change + by_logits
        found = kernels.gradients(change.numpy(), z.numpy(), block.numpy(), heads.numpy())
        return torch.from_numpy(found[0]), torch.from_numpy(found[1]), None, None


def _head_gradients(slope: Tensor, z: Tensor, block: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by z and by the block, from that by the rows' own logits."""
    count, classes, columns = block.shape
    spread = z.new_zeros(len(z), count, classes)
    spread[torch.arange(len(z), device=z.device), heads] = slope
    spread = spread.view(len(z), count * classes)
    rows = block.view(count * classes, columns)
    by_block = torch.cat([torch.mm(spread.t(), z), spread.sum(0).unsqueeze(1)], 1)
    return torch.mm(spread, rows[:, :-1]), by_block.view_as(block)


class Heads(nn.Module):
    """One linear head per task, in one parameter `block [heads, classes, width + 1]`.

    The last column is the bias, so head t is one contiguous piece of classes * (width + 1) floats.
    """

    def __init__(self, count: int, width: int, classes: int, rng: torch.Generator) -> None:
        super().__init__()
        self.block = uniform((count, classes, width + 1), width, rng)

    def forward(self, z: Tensor, heads: Tensor) -> Tensor:
        """Logits [n, classes] of z [n, width], row i through head `heads[i]`."""
        if len(self.block) == 1:
            return self.one(z, 0)
        logits: Tensor = _RowHeads.apply(z, self.block, heads)  # type: ignore[no-untyped-call]
        return logits

    def cross_entropy(self, z: Tensor, heads: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy (scalar) of z [n, width] with labels y [n], and the logits [n, classes]."""
        if z.device.type == "cpu":
            return _HeadLoss.apply(z, self.block, heads, y)  # type: ignore[no-any-return, no-untyped-call]
        logits = self(z, heads)
        return functional.cross_entropy(logits, y), logits

    def answers(
        self, z: Tensor, first: int, heads: Tensor, chosen: Sequence[Chosen]
    ) -> tuple[Tensor, list[Tensor]]:
        """z of the first rows as they are, and logits [m, classes] of those chosen among the others.

        z [n, width]; the others go through `heads [n - first]`.
        """
        if len(self.block) == 1 and type(self) is Heads:
            batch, *found = OneHead.apply(z, self.block, first, chosen)  # type: ignore[no-untyped-call]
            return batch, found
        batch, others = torch.split(z, [first, len(z) - first])
        logits = self(others, heads)
        return batch, [rows_of(logits, one) for one in chosen]

    def unseen_flops(self, rows: int, device: torch.device) -> int:
        """Operations of `cross_entropy` and its gradient that torch does not see: 3 products on the CPU."""
        return self.flops(rows, training=True) if device.type == "cpu" else 0

    def flops(self, rows: int, training: bool) -> int:
        """Operations of `rows` rows, each through its own head; with gradients if training."""
        _, classes, columns = self.block.shape
        return (6 if training else 2) * rows * classes * (columns - 1)

    def one(self, z: Tensor, head: int) -> Tensor:
        """Logits [n, classes] of z [n, width], all through one head."""
        weights = self.block[head]
        return functional.linear(z, weights[:, :-1], weights[:, -1])
