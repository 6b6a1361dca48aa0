"""Models in fewer bytes: float16 and int8 codes, the k largest changes, values at chosen positions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.arrays import Placed
from mpidcl.benchmarks.case import Case, Place, Work
from mpidcl_kernels.quantise import Form, dequantise, quantise, quantise_definition
from mpidcl_kernels.sparse import gather_values, scatter_add, top_k, top_k_change

if TYPE_CHECKING:
    from torch import Tensor

M = 11_000_000
BLOCK = 1024
FORMS: tuple[tuple[Form, int, int], ...] = (("float16", 10, 6), ("int8", 5, 5))
"""Bytes moved per value there (float16 reads twice: the scale comes first) and back."""


def cases(place: Place) -> Iterator[Case]:
    """A model of 11 million parameters (ResNet-18), 1 % and 10 % of its positions."""
    rng = np.random.default_rng(0)
    host = rng.standard_normal((2, M), np.float32)
    model, sent = (place(row) for row in host)
    yield from _codes(place, host[0], model)
    for share in (0.01, 0.1):
        yield from _sparse(model, sent, int(share * M))


def _codes(place: Place, host: NDArray[np.float32], model: Placed) -> Iterator[Case]:
    import torch

    for form, there, back in FORMS:
        halves = quantise_definition(host, form)
        codes, scales = (place(array) for array in halves)
        into, out = (place(np.ones(M, form)), place(np.ones_like(halves[1]))), place(np.ones_like(host))
        others = {"torch": _torch_half(model) if form == "float16" else _torch_int8(model)}
        if isinstance(model, np.ndarray):
            others["numpy"] = partial(quantise_definition, host, form)
        work = partial(quantise, model, form, out=into)
        yield Case("quantise", f"{M:,} {form}", work, others, there * M, "copy")
        work = partial(dequantise, codes, scales, out=out)
        others = {"torch": _torch_back(codes, torch.as_tensor(scales), out, form)}
        yield Case("dequantise", f"{M:,} {form}", work, others, back * M, "copy")


def _sparse(model: Placed, sent: Placed, k: int) -> Iterator[Case]:
    import torch

    size = f"{k:,} of {M:,}"
    a, b = torch.as_tensor(model), torch.as_tensor(sent)
    others: dict[str, Work] = {"torch": lambda: torch.topk(a, k, sorted=False)}
    changes: dict[str, Work] = {"torch": lambda: torch.topk((a - b).abs(), k, sorted=False)}
    if isinstance(model, np.ndarray):
        others["numpy"] = lambda: np.argpartition(model, M - k)[M - k :]
        changes["numpy"] = lambda: np.argpartition(np.abs(model - sent), M - k)[M - k :]
    yield Case("top_k", size, partial(top_k, model, k), others, 4 * M, "read")
    yield Case("top_k", f"{size}, of |a - b|", partial(top_k_change, model, sent, k), changes, 8 * M, "read")
    positions = top_k(model, k)
    places, values = torch.as_tensor(positions), gather_values(model, positions)
    given, target = torch.as_tensor(values), torch.zeros_like(a)
    others = {"torch": lambda: torch.index_select(a, 0, places)}
    yield Case("gather_values", size, partial(gather_values, model, positions), others, rows=k)
    others = {"torch": lambda: target.index_add_(0, places, given)}
    yield Case("scatter_add", size, partial(scatter_add, target, positions, values), others, rows=k)


def _torch_half(model: Placed) -> Work:
    import torch

    x = torch.as_tensor(model)
    room, codes = torch.ones_like(x), torch.ones_like(x, dtype=torch.float16)

    def work() -> tuple[Tensor, Tensor]:
        scale = torch.exp2(torch.ceil(torch.log2(torch.abs(x, out=room).max())))
        return codes.copy_(torch.div(x, scale, out=room)), scale

    return work


def _torch_int8(model: Placed) -> Work:
    import torch

    x = _whole_blocks(model).reshape(-1, BLOCK)
    room, codes = torch.ones_like(x), torch.ones_like(x, dtype=torch.int8)

    def work() -> tuple[Tensor, Tensor]:
        steps = torch.abs(x, out=room).amax(dim=1, keepdim=True) / 127
        return codes.copy_(torch.div(x, steps, out=room).round_()), steps

    return work


def _torch_back(codes: Placed, scales: Tensor, out: Placed, form: Form) -> Work:
    x, into = (_whole_blocks(t).reshape(-1, BLOCK) for t in (codes, out))
    steps = scales if form == "float16" else scales[: len(x), None]
    return lambda: into.copy_(x).mul_(steps)


def _whole_blocks(vector: Placed) -> Tensor:
    """As a tensor, without the last block, which is not full."""
    import torch

    return torch.as_tensor(vector)[: M // BLOCK * BLOCK]
