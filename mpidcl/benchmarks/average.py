"""Averages of whole models, as neighbours make them, at the size of a ResNet-18.

Bytes are those of the arrays that are read; the result, an eighth more, is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.base.arrays import Placed
from mpidcl.benchmarks.case import Case, Place, Work
from mpidcl_kernels import average

if TYPE_CHECKING:
    from torch import Tensor

MODELS, SIZE = 8, 11_000_000
WEIGHTS = [1 / MODELS] * MODELS


def cases(place: Place) -> Iterator[Case]:
    """Weighted average into a new place and in place, from pieces, by Fisher information, and distances."""
    models = [place(np.full(SIZE, j, np.float32)) for j in range(MODELS)]
    out = place(np.ones(SIZE, np.float32))
    count, read = f"{MODELS} x {SIZE:,}", 4 * MODELS * SIZE
    yield Case(
        "weighted_average",
        f"{count} float32",
        lambda: average.weighted_average(models, WEIGHTS, out=out),
        _others(models, out),
        read,
        "read",
        target="80 % of read",
    )
    yield Case(
        "weighted_average",
        f"{count} float32, in place",
        lambda: average.weighted_average(models, WEIGHTS, out=models[0]),
        {"torch add_": _chain(models, models[0])},
        read,
        "read",
    )
    yield _pieces(models, out, place)
    fishers = [place(np.full(SIZE, 1 + j, np.float32)) for j in range(MODELS)]
    yield Case(
        "fisher_average",
        f"{count} float32",
        lambda: average.fisher_average(models, fishers, WEIGHTS, 1e-8, out=out),
        {"torch": lambda: _torch_fisher(models, fishers)},
        2 * read,
        "read",
    )
    yield Case(
        "distances",
        f"{MODELS - 1} to 1 of {SIZE:,} float32",
        lambda: average.distances(models[0], models[1:]),
        {"torch": lambda: [(_tensor(models[0]) - _tensor(m)).abs().mean().item() for m in models[1:]]},
        read,
        "read",
    )


def _pieces(models: list[Placed], out: Placed, place: Place) -> Case:
    """A quarter of every neighbour's model, as `precision = "block"` sends it."""
    start, stop = SIZE // 4, SIZE // 2
    arrays = [models[0], *(model[start:stop] for model in models[1:])]
    places = [None, *[start] * (MODELS - 1)]

    def with_torch() -> None:
        own, result = _tensor(models[0]), _tensor(out)
        result.copy_(own)
        result[start:stop].mul_(1 / MODELS)
        for array in arrays[1:]:
            result[start:stop].add_(_tensor(array), alpha=1 / MODELS)

    return Case(
        "weighted_average",
        f"{MODELS - 1} pieces of a quarter and 1 x {SIZE:,}",
        lambda: average.weighted_average(arrays, WEIGHTS, out, places),
        {"torch": with_torch},
        4 * (SIZE + (MODELS - 1) * (stop - start)),
        "read",
    )


def _tensor(array: Placed) -> Tensor:
    import torch

    return torch.from_numpy(array) if isinstance(array, np.ndarray) else torch.as_tensor(array)


def _others(models: list[Placed], out: Placed) -> dict[str, Work]:
    import torch

    tensors = [_tensor(model) for model in models]
    chosen: dict[str, Work] = {
        "torch add_": _chain(models, out),
        "torch stack, mean": lambda: torch.mean(torch.stack(tensors), 0, out=_tensor(out)),
    }
    if isinstance(out, np.ndarray):
        chosen["numpy mean"] = lambda: np.mean(models, axis=0, out=out)
    return chosen


def _chain(models: list[Placed], out: Placed) -> Work:
    import torch

    tensors, result = [_tensor(model) for model in models], _tensor(out)

    def work() -> None:
        torch.mul(tensors[0], 1 / MODELS, out=result)
        for tensor in tensors[1:]:
            result.add_(tensor, alpha=1 / MODELS)

    return work


def _torch_fisher(models: list[Placed], fishers: list[Placed]) -> Tensor:
    pairs = [(_tensor(m), _tensor(f)) for m, f in zip(models, fishers, strict=True)]
    upper, lower = pairs[0][0] * pairs[0][1], pairs[0][1] + 1e-8
    for model, fisher in pairs[1:]:
        upper.addcmul_(model, fisher)
        lower.add_(fisher)
    return upper.div_(lower)
