"""Which unit of a neighbour's net does what which of one's own does, so that the two can be averaged.

activations: the units whose values on the same rows are most alike (DIMAT, Saadati et al. 2024, arXiv
2404.08079). The correlation of unit i here and unit j there, over rows and places of an image, is maximised
over all permutations by linear assignment. Rows are the agent's own: none travels.

weights: the units whose weights are most alike (Git Re-Basin, Ainsworth et al. 2023, arXiv 2209.04836,
algorithm 1). One permutation after the other is made the best while the others stay, in a seeded order,
until none changes. Each step makes the product of the two nets' weights larger, so it ends.

Whole experts are as alike as they can be made by the order of their own units, so their order is not held
back by it. Units that a model does not show (`Permutation.seen`) are matched by weights in either case, at
the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from mpidcl.learning.batches import Prepared
from mpidcl.model.base import Model
from mpidcl.model.permutations import (
    Axis,
    Permutation,
    Stack,
    Tensors,
    check,
    moved,
    named_tensors,
    permuted,
    rows,
)

By = Literal["activations", "weights"]
Doubles = npt.NDArray[np.float64]
Orders = dict[str, Tensor]
"""By name of a permutation: place i gets unit `order[i]` of the neighbour."""
ROWS_AT_ONCE = 256
"""Rows of a pass. Fixed: BatchNorm's statistics depend on it."""
MOST_PASSES = 100
NOTHING = 1e-9
"""A gain below this share is rounding, which must not let two orders take turns for ever."""


class Matching:
    """Finds the order in which a neighbour's units are those of `model`, and refreshes BatchNorm.

    `kinds`: those kinds of segments that tell of units by their weights; others are not the neighbour's.
    """

    def __init__(self, model: Model, kinds: Sequence[str] = ("shared", "modules", "heads")) -> None:
        self._model, self._flat = model, model.flat
        self._permutations = model.permutations()
        check(self._permutations, dict([*model.named_parameters(), *model.named_buffers()]))
        names = (name for name, _ in model.named_parameters())
        self._names = [name for name in names if model.place(name).kind in kinds]
        self._compared = frozenset(self._names)

    def find(self, data: Tensor, by: By, probe: Prepared, rng: np.random.Generator) -> Orders:
        """The order of the neighbour's units, whose flat parameters are `data [size]`.

        `probe`: own rows, not used by weights; BatchNorm statistics of both nets are found from them.
        """
        shown = [one for one in self._permutations if one.seen] if by == "activations" else []
        orders = self._by_activations(shown, data, probe) if shown else {}
        left = [one for one in self._permutations if one.name not in orders]
        return orders | self._by_weights(left, data, orders, rng)

    def aligned(self, data: Tensor, orders: Mapping[str, Tensor]) -> Tensor:
        """The neighbour's flat parameters [size] with its units in one's own order, as a copy."""
        buffers = self._flat.buffers
        return permuted(self._model, self._flat, orders, self._permutations, data, buffers)[0]

    # --- by activations ---------------------------------------------------------------------------

    def _by_activations(self, shown: Sequence[Permutation], data: Tensor, probe: Prepared) -> Orders:
        names = sorted({name for one in shown for name in one.seen})
        mine, theirs = (self._seen(one, probe, names) for one in (self._flat.data.clone(), data))
        found: Orders = {}
        for one in shown:
            likeness = sum(_correlation(mine[name], theirs[name]) for name in one.seen)
            found[one.name] = _best(np.asarray(likeness))
        return found

    def _seen(self, data: Tensor, probe: Prepared, names: Sequence[str]) -> dict[str, Tensor]:
        """Activations of a net with these parameters, whose BatchNorm statistics are of the same rows."""
        with self._living_as(data):
            refresh_statistics(self._model, probe)
            return activations(self._model, probe, names)

    @contextmanager
    def _living_as(self, data: Tensor) -> Iterator[None]:
        """Inside, the model has other parameters."""
        flat = self._flat
        own, statistics = flat.data.clone(), flat.buffers.clone()
        try:
            flat.data.copy_(data)
            yield
        finally:
            flat.data.copy_(own)
            flat.buffers.copy_(statistics)

    # --- by weights -------------------------------------------------------------------------------

    def _by_weights(
        self, left: Sequence[Permutation], data: Tensor, known: Orders, rng: np.random.Generator
    ) -> Orders:
        mine = named_tensors(self._model, self._flat, self._flat.data, self._flat.buffers)
        given = named_tensors(self._model, self._flat, data, self._flat.buffers)
        orders = {one.name: torch.arange(one.size) for one in left} | known
        for _ in range(MOST_PASSES):
            changed = False
            for place in rng.permutation(len(left)).tolist():
                one = left[place]
                likeness = self._products(one, mine, self._moved(given, orders, without=one.name))
                order = _best(likeness)
                if _gain(likeness, orders[one.name], order):
                    orders[one.name], changed = order, True
            if not changed:
                break
        return orders

    def _likeness(self, mine: Tensors, theirs: Tensors) -> float:
        """Product of all weights that both have."""
        names = [name for name in self._names if name in theirs]
        return sum(float((mine[n].detach().double() * theirs[n].detach().double()).sum()) for n in names)

    def _moved(self, given: Tensors, orders: Mapping[str, Tensor], without: str) -> Tensors:
        for one in self._permutations:
            if one.name in orders and one.name != without:
                given = moved(given, one, orders[one.name])
        return given

    def _products(self, one: Permutation, mine: Tensors, theirs: Tensors) -> Doubles:
        """Products [size, size] of the weights of unit i here and of unit j there."""
        total = np.zeros((one.size, one.size))
        along = Permutation(one.name, one.size, tuple(p for p in one.places if isinstance(p, Axis)))
        pairs = zip(rows(mine, along, self._compared), rows(theirs, along, self._compared), strict=True)
        for here, there in pairs:
            total += (here.detach().double() @ there.detach().double().t()).cpu().numpy()
        units = self._stacked(one)
        for i, names in enumerate(units):
            inside = [inner for inner in self._permutations if _inside(inner, names)]
            for j, others in enumerate(units):
                found = {name: theirs[other] for name, other in zip(names, others, strict=True)}
                for inner in inside:
                    found = moved(found, inner, _best(self._products(inner, mine, found)))
                total[i, j] += self._likeness(mine, found)
        return total

    def _stacked(self, one: Permutation) -> list[tuple[str, ...]]:
        """The whole parameters of each unit, those that are compared."""
        stacks = [place.names for place in one.places if isinstance(place, Stack)]
        return list(zip(*(names for names in stacks if self._compared.issuperset(names)), strict=True))


def activations(model: Model, probe: Prepared, names: Sequence[str]) -> dict[str, Tensor]:
    """What modules put out for rows, by name [units, n], in eval mode; n counts places of images, too."""
    modules = dict(model.named_modules())
    found: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(name: str, output: Tensor) -> None:
        # A copy: a ReLU that follows may write into the output.
        found[name].append(output.detach().transpose(0, 1).reshape(output.shape[1], -1).clone())

    hooks = [
        modules[name].register_forward_hook(lambda _, __, output, name=name: keep(name, output))
        for name in names
    ]
    model.eval()
    try:
        with torch.no_grad():
            for z, heads in _parts(probe):
                model.encode_rows(z, heads)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(parts, 1) for name, parts in found.items()}


def refresh_statistics(model: Model, probe: Prepared) -> None:
    """BatchNorm statistics anew from rows: the mean over batches of those of each batch.

    The running statistics of an average of nets belong to none of its activations. Nothing else changes, and
    nothing is drawn; a model without BatchNorm, or no rows, is left alone.
    """
    norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    if not norms or not len(probe):
        return
    before = [norm.momentum for norm in norms]
    model.eval()
    try:
        with torch.no_grad():
            for norm in norms:
                norm.train()
            for number, (z, heads) in enumerate(_parts(probe), 1):
                for norm in norms:
                    norm.momentum = 1 / number
                model.encode_rows(z, heads)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()


def _parts(probe: Prepared) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(probe.z, ROWS_AT_ONCE), torch.split(probe.heads, ROWS_AT_ONCE), strict=True)


def _inside(one: Permutation, names: Sequence[str]) -> bool:
    """Whether all its places lie in these parameters."""
    return all(isinstance(place, Axis) and place.name in names for place in one.places)


def _correlation(mine: Tensor, theirs: Tensor) -> Doubles:
    """Correlation [units, units] of rows [units, n] of both; 0 of a unit that never changes."""
    here, there = (_standard(values.double()) for values in (mine, theirs))
    found: Doubles = (here @ there.t()).cpu().numpy()
    return found


def _standard(values: Tensor) -> Tensor:
    centred = values - values.mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    return torch.where(length > 0, centred / length, torch.zeros_like(centred))


def _best(likeness: Doubles) -> Tensor:
    """The order [size] of the largest sum of likeness[i, order[i]]."""
    _, order = linear_sum_assignment(likeness, maximize=True)
    return torch.from_numpy(order)


def _gain(likeness: Doubles, before: Tensor, after: Tensor) -> bool:
    """Whether `after` is truly better."""
    units = np.arange(len(likeness))
    worse, better = (likeness[units, order.numpy()].sum() for order in (before, after))
    return bool(better > worse + NOTHING * np.abs(likeness).max() * len(units))
