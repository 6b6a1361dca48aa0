"""Which experts answer a row, and how much each of them counts.

    h = W_r f(x) + b_r;  p = softmax(h);  T = the K largest p
    g_i = p_i / sum_{j in T} p_j for i in T, else 0

Sparsely gated experts (Shazeer et al. 2017, arXiv 1701.06538, section 2.1; Fedus et al. 2021, arXiv
2101.03961, section 2). Gates are those of the softmax over the K largest h, which is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

RETIRED = -1e30
"""Added to h of an expert that is not used. Finite: infinity times a share of zero would be no number."""


class Routes(NamedTuple):
    """Where n rows went: h [n, N], p [n, N] and, of the K experts of each row, numbers and gates [n, K]."""

    scores: Tensor
    shares: Tensor
    chosen: Tensor
    gates: Tensor

    def spread(self) -> Tensor:
        """Gates of all experts [n, N]; 0 where an expert was not chosen."""
        return torch.zeros_like(self.shares).scatter(1, self.chosen, self.gates)


def route(scores: Tensor, active: int) -> Routes:
    """The `active` largest of h [n, N] of each row, and their gates, which sum to 1.

    >>> found = route(torch.tensor([[0.0, 2.0, 1.0]]), 2)
    >>> found.chosen.tolist(), [round(gate, 3) for gate in found.gates[0].tolist()]
    ([[1, 2]], [0.731, 0.269])
    """
    top = scores.topk(active, dim=-1)
    return Routes(scores, scores.softmax(-1), top.indices, top.values.softmax(-1))


def dispatch(x: Tensor, routes: Routes, experts: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """y [n, width] = sum over the chosen experts i of g_i M_i(x), of inputs x [n, ...].

    Rows are sorted by expert, so that each expert sees those that chose it in one batch and computes nothing
    else. Sums of gradients run in a fixed order on any device.
    """
    rows, active = routes.chosen.shape
    pairs = routes.chosen.flatten()
    order = torch.argsort(pairs, stable=True)
    counts = torch.bincount(pairs, minlength=len(experts)).tolist()
    repeated = x.unsqueeze(1).expand(rows, active, *x.shape[1:]).reshape(-1, *x.shape[1:])
    parts = torch.split(repeated.index_select(0, order), counts)
    found = [expert(part) for expert, part in zip(experts, parts, strict=True) if len(part) or not rows]
    back = torch.argsort(order)
    outputs = torch.cat(found).index_select(0, back)
    return (routes.gates.unsqueeze(2) * outputs.view(rows, active, outputs.shape[1])).sum(1)


def all_of(x: Tensor, routes: Routes, experts: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """The same where every expert sees every row: for gradients of single rows, which cannot be sorted."""
    outputs = torch.stack([expert(x) for expert in experts], 1)
    return (routes.spread().unsqueeze(2) * outputs).sum(1)
