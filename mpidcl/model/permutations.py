"""Which parts of a model can change places without changing what it computes.

A `Permutation` says of `size` units, such as the channels of a layer, where all their numbers lie: `places`.

    Axis("layers.0.weight", 0)            the units are the rows of a parameter or buffer, by its dotted name
    Axis("layers.1.weight", 1)            they are what the next layer reads
    Axis("heads.block", 2, last=1)        the last place of the axis, a bias, stays
    Axis("heads.block", 2, 4, last=1)     every unit has 4 places in a row: channels of 2 x 2, flattened
    Stack(("experts.0.first", ...))       unit i is the whole parameter names[i]; all have one shape

All places of a `Permutation` move together, so both sides of a skip connection are places of one. `seen`
names modules whose output [n, size, ...] shows the units at work; with () their weights alone tell of them.
`Model.permutations()` lists all from the input to the output, and a `Stack` before what lies inside its
parameters. After PermutationSpec of Git Re-Basin (Ainsworth et al. 2023, arXiv 2209.04836).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mpidcl.model.flat import FlatParameters

Tensors = dict[str, Tensor]
"""Parameters and buffers of a model by their dotted names."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Units along one axis of the tensor `name`: each has `block` places in a row, the `last` places stay."""

    name: str
    axis: int
    block: int = 1
    last: int = 0


@dataclass(frozen=True, slots=True)
class Stack:
    """Unit i is the whole tensor `names[i]`."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Permutation:
    """Units that may change places; see the top of this file."""

    name: str
    size: int
    places: tuple[Axis | Stack, ...]
    seen: tuple[str, ...] = ()


def named_tensors(model: nn.Module, flat: FlatParameters, data: Tensor, buffers: Tensor) -> Tensors:
    """Views by name of other flat parameters `data` and `buffers`, which lie as those of the model do."""
    found: Tensors = {}
    for name, mine, whole, other in (
        *((n, p, flat.data, data) for n, p in model.named_parameters()),
        *((n, b, flat.buffers, buffers) for n, b in model.named_buffers() if _is_flat(b, flat.buffers)),
    ):
        start = (mine.data_ptr() - whole.data_ptr()) // whole.element_size()
        found[name] = other[start : start + mine.numel()].view(mine.shape)
    return found


def _is_flat(buffer: Tensor, flat: Tensor) -> bool:
    return buffer.untyped_storage().data_ptr() == flat.untyped_storage().data_ptr()


def check(permutations: Sequence[Permutation], tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError for places that do not fit the tensors: a mistake in a model."""
    for one in permutations:
        for place in one.places:
            size = len(place.names) if isinstance(place, Stack) else _units(place, tensors[place.name])
            if size != one.size:
                raise ValueError(
                    f"every place of the permutation `{one.name}` should have {one.size} units. Found {size}"
                    f" in {place}."
                )


def _units(place: Axis, tensor: Tensor) -> float:
    return (tensor.shape[place.axis] - place.last) / place.block


def moved(tensors: Tensors, one: Permutation, order: Tensor) -> Tensors:
    """The tensors with unit `order[i]` in place i of one permutation. Nothing is written."""
    found = dict(tensors)
    for place in one.places:
        if isinstance(place, Stack):
            for name, source in zip(place.names, order.tolist(), strict=True):
                found[name] = tensors[place.names[source]]
        else:
            values = found[place.name]
            found[place.name] = values.index_select(place.axis, _index(place, order, values))
    return found


def _index(place: Axis, order: Tensor, values: Tensor) -> Tensor:
    """`order` of the units as an order of all places along the axis."""
    order = order.to(values.device)
    inside = torch.arange(place.block, device=values.device)
    stay = torch.arange(len(order) * place.block, values.shape[place.axis], device=values.device)
    return torch.cat(((order.unsqueeze(1) * place.block + inside).flatten(), stay))


def rows(tensors: Mapping[str, Tensor], one: Permutation, names: frozenset[str]) -> Iterator[Tensor]:
    """Of each place in a tensor of `names` what belongs to each unit [size, n]."""
    for place in one.places:
        if isinstance(place, Stack):
            if names.issuperset(place.names):
                yield torch.stack([tensors[name].flatten() for name in place.names])
        elif place.name in names:
            values = tensors[place.name].movedim(place.axis, 0)
            yield values[: one.size * place.block].reshape(one.size, -1)


def permuted(
    model: nn.Module,
    flat: FlatParameters,
    orders: Mapping[str, Tensor],
    permutations: Sequence[Permutation],
    data: Tensor,
    buffers: Tensor,
) -> tuple[Tensor, Tensor]:
    """Flat parameters `data` and `buffers` with units in the orders given by name, as copies."""
    tensors = named_tensors(model, flat, data, buffers)
    for one in permutations:
        if one.name in orders:
            tensors = moved(tensors, one, orders[one.name])
    data, buffers = data.clone(), buffers.clone()
    for name, target in named_tensors(model, flat, data, buffers).items():
        target.copy_(tensors[name])
    return data, buffers
