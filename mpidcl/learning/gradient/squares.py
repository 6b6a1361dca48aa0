"""Squared gradients of single rows, by the labels of the data: the empirical diagonal Fisher information.

In general the gradient of every row is made, as large as the net. Where all that learns lies in Linear layers
and heads none is: the gradient of row i by the weights of a layer is delta_i x_i^T, and the sum of its
squares over rows is one product, (delta^2)^T (x^2) (after Goodfellow 2015, arXiv 1510.01799).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from mpidcl.learning.batches import Prepared
from mpidcl.learning.gradient.fisher import Row, mean_of_rows
from mpidcl.model.base import Model
from mpidcl.model.layers import Heads, Linear

ROWS_AT_ONCE = 1024
"""Rows of a pass that makes no gradient of a single row. Fixed: sums of other parts round differently."""


def label_fisher(model: Model, rows: Prepared, weighted: bool = False) -> Tensor:
    """F [p] = mean over rows of (d log p(y | x) / dw)^2, in eval mode, as the flat gradient lies.

    `weighted`: of p(y | x) times that. Zeros for no rows. A net of Linear layers is taken by layers where
    that gives, for two of the rows, what the gradients of single rows give.
    """
    model.eval()
    few = rows.take(torch.arange(min(2, len(rows)), device=rows.y.device))
    fast = by_layers(model, few, weighted)
    if fast is None or not _same(fast, one_by_one(model, few, weighted)):
        return by_rows(model, rows, weighted)
    found = by_layers(model, rows, weighted)
    assert found is not None
    return found


def _same(fast: Tensor, slow: Tensor) -> bool:
    """Whether both are finite, and alike."""
    return bool(torch.isfinite(slow).all()) and torch.allclose(fast, slow, 1e-2, 1e-5 * float(slow.max()))


def one_by_one(model: Model, rows: Prepared, weighted: bool) -> Tensor:
    """F [p] from a backward pass for every row: slow, but it needs nothing beyond autograd."""
    learning = model.flat.learning
    total = torch.zeros_like(model.flat.grad)
    for z, y, head in zip(torch.split(rows.z, 1), rows.y, torch.split(rows.heads, 1), strict=True):
        log_p = model.logits(model.encode_rows(z, head), head).log_softmax(1)[0, y]
        slopes = torch.autograd.grad(log_p, learning, allow_unused=True, materialize_grads=True)
        square = torch.cat([slope.flatten() for slope in slopes]).square_()
        total += square * log_p.detach().exp() if weighted else square
    return total / max(1, len(rows))


def by_rows(model: Model, rows: Prepared, weighted: bool) -> Tensor:
    """F [p] of any model, from the gradient of every row."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    weights = {names[p]: p.detach() for p in model.flat.learning}
    others = {name: p.detach() for p, name in names.items() if name not in weights}
    others |= dict(model.named_buffers())
    row = Row(model)

    def log_likelihood(chosen: dict[str, Tensor], z: Tensor, y: Tensor, head: Tensor) -> Tensor:
        both = {f"model.{name}": value for name, value in (chosen | others).items()}
        logits: Tensor = functional_call(row, both, (z, head))
        return logits.log_softmax(0).gather(0, y.unsqueeze(0))[0]

    def squares(z: Tensor, y: Tensor, head: Tensor) -> dict[str, Tensor]:
        slopes = grad(log_likelihood)(weights, z, y, head)
        factor = log_likelihood(weights, z, y, head).exp() if weighted else 1.0
        return {name: factor * slope.square() for name, slope in slopes.items()}

    return mean_of_rows(vmap(squares), rows, sum(p.numel() for p in weights.values()))


def by_layers(model: Model, rows: Prepared, weighted: bool) -> Tensor | None:
    """F [p] of a net of Linear layers, without the gradient of any row; None of another net."""
    layers = [module for module in model.modules() if type(module) in (Linear, nn.Linear)]
    places: dict[Tensor, Tensor] = {p: torch.zeros_like(p) for p in model.flat.learning}
    owned = {p for layer in layers for p in layer.parameters(recurse=False)} | {model.heads.block}
    if not places.keys() <= owned or type(model.heads) is not Heads:
        return None
    index = torch.arange(len(rows), device=rows.y.device)
    for part in torch.split(index, ROWS_AT_ONCE) if len(rows) else ():
        if not _add(model, rows.take(part), weighted, places):
            return None
    return torch.cat([places[p].flatten() for p in model.flat.learning]) / max(1, len(rows))


def _add(model: Model, rows: Prepared, weighted: bool, places: dict[Tensor, Tensor]) -> bool:
    """Add the squares of some rows in the places. False where a layer is used twice, or not by rows."""
    with _probed(model) as passes:
        encoded = model.encode_rows(rows.z, rows.heads)
        logits = model.logits(encoded, rows.heads)
    layers = [layer for layer, _, _ in passes]
    if len({*layers}) < len(layers) or any(x.shape[:-1] != rows.y.shape for _, x, _ in passes):
        return False
    p = logits.detach().softmax(1)
    slope = nn.functional.one_hot(rows.y, p.shape[1]) - p
    factor = p.gather(1, rows.y.unsqueeze(1)) if weighted else torch.ones_like(p[:, :1])
    changes = torch.autograd.grad(logits, [zero for _, _, zero in passes], slope) if passes else ()
    for (layer, x, _), change in zip(passes, changes, strict=True):
        squares = change.square() * factor
        if layer.weight in places:
            places[layer.weight].addmm_(squares.t(), x.square())
        if layer.bias in places:
            places[layer.bias] += squares.sum(0)
    squares, x = slope.square() * factor, encoded.detach().square()
    for head in torch.unique(rows.heads).tolist():
        mine = (rows.heads == head).unsqueeze(1) * squares
        places[model.heads.block][head, :, :-1].addmm_(mine.t(), x)
        places[model.heads.block][head, :, -1] += mine.sum(0)
    return True


@contextmanager
def _probed(model: Model) -> Iterator[list[tuple[Linear | nn.Linear, Tensor, Tensor]]]:
    """Inside, every use of a Linear layer leaves (layer, its input, zeros that were added to its output)."""
    passes: list[tuple[Linear | nn.Linear, Tensor, Tensor]] = []

    def probe(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(layer, (Linear, nn.Linear))
        zero = torch.zeros_like(output, requires_grad=True)
        passes.append((layer, given[0].detach(), zero))
        return output + zero

    found = [module for module in model.modules() if isinstance(module, (Linear, nn.Linear))]
    hooks = [module.register_forward_hook(probe) for module in found]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()
