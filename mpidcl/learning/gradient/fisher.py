"""The diagonal of the Fisher information of the parameters that are averaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from mpidcl.learning.batches import Prepared
from mpidcl.model.base import Model
from mpidcl.model.flat import KINDS

GRADIENT_BYTES = 64 * 2**20
"""Per-row gradients are made by chunks of at most this size."""


def diagonal_fisher(model: Model, rows: Prepared, kinds: Sequence[str] = ("shared",)) -> Tensor:
    """F [p] = mean over rows of sum_c p(c | x) (d log p(c | x) / dw)^2, in eval mode.

    Of the parameters of `kinds`, in the order in which they lie in the flat parameters. The
    expectation over labels is exact and taken under the model (Martens 2020, section 5), not under the labels
    of the data: C gradients per row. Zeros for no rows.
    """
    model.eval()
    placed = [(model.place(name).kind, name, p.detach()) for name, p in model.named_parameters()]
    placed.sort(key=lambda one: KINDS.index(one[0]))  # stable, as the flat parameters are
    weights = {name: p for kind, name, p in placed if kind in kinds}
    others = {name: p.detach() for name, p in model.named_parameters() if name not in weights}
    buffers = dict(model.named_buffers())

    def log_likelihoods(chosen: dict[str, Tensor], z: Tensor, head: Tensor) -> Tensor:
        both = {**chosen, **others, **buffers}
        logits: Tensor = functional_call(Row(model), {f"model.{k}": v for k, v in both.items()}, (z, head))
        return logits.log_softmax(0)

    def squares(z: Tensor, y: Tensor, head: Tensor) -> dict[str, Tensor]:
        logs = log_likelihoods(weights, z, head)
        total: dict[str, Tensor] = {}
        for label in range(len(logs)):
            slopes = grad(lambda w, c=label: log_likelihoods(w, z, head)[c])(weights)
            for name, slope in slopes.items():
                total[name] = total.get(name, torch.zeros_like(slope)) + logs[label].exp() * slope.square()
        return total

    return mean_of_rows(vmap(squares), rows, sum(p.numel() for p in weights.values()))


class Row(torch.nn.Module):
    """The model as a function of one row and its head, for per-row gradients."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, head: Tensor) -> Tensor:
        weights = self.model.heads.block[head.unsqueeze(0)][0]
        encoded = self.model.encode_row(z, head)
        return weights[:, :-1] @ encoded + weights[:, -1]


def mean_of_rows(
    squares: Callable[[Tensor, Tensor, Tensor], Mapping[str, Tensor]], rows: Prepared, size: int
) -> Tensor:
    """Mean over all rows of what `squares` gives for each row of a chunk (z, y, heads): one vector [size]."""
    total = torch.zeros(size, device=rows.z.device)
    chunk = max(1, GRADIENT_BYTES // (4 * size))
    for part in zip(*(torch.split(t, chunk) for t in (rows.z, rows.y, rows.heads)), strict=True):
        total += torch.cat([found.sum(0).flatten() for found in squares(*part).values()])
    return total / max(1, len(rows))
