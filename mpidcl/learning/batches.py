"""Rows ready for the encoder, and the batches that an epoch cuts from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.errors import ExperimentError
from mpidcl.stream.tasks import Answers

if TYPE_CHECKING:
    from mpidcl.learning.terms.base import Term

GATHERED_BYTES = 8 * 2**20
"""Shuffled rows are gathered by blocks of at most this size: cheap, and small beside the pool."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows after the frozen input stage: z [n, ...], y [n, ...] (labels inside the head), and heads [n]."""

    z: Tensor
    y: Tensor
    heads: Tensor

    def __len__(self) -> int:
        return self.y.shape[0]  # `len` of a tensor is a call of Python

    @staticmethod
    def of(z: Tensor, y: Answers, heads: npt.NDArray[np.int64] | int, device: torch.device) -> Prepared:
        """Rows from arrays y [n, ...] and heads [n], or one head for all."""
        every = np.broadcast_to(np.asarray(heads, dtype=np.int64), y.shape[:1]).copy()
        return Prepared(
            z.to(device), torch.from_numpy(y.copy()).to(device), torch.from_numpy(every).to(device)
        )

    @staticmethod
    def joined(parts: Sequence[Prepared]) -> Prepared:
        """All rows of `parts`, in order."""
        if len(parts) == 1:
            return parts[0]
        return Prepared(*(torch.cat([getattr(part, name) for part in parts]) for name in ("z", "y", "heads")))

    def take(self, index: Tensor, out: Prepared | None = None) -> Prepared:
        """Rows `index [m]`, copied, into the first m rows of `out` if given."""
        if out is None:
            return Prepared(*(tensor.index_select(0, index) for tensor in (self.z, self.y, self.heads)))
        into = Prepared(*(tensor[: len(index)] for tensor in (out.z, out.y, out.heads)))
        for name in ("z", "y", "heads"):
            torch.index_select(getattr(self, name), 0, index, out=getattr(into, name))
        return into


class Columns(Mapping[str, Tensor]):
    """What terms have stored beside rows: columns by name, each [n, ...].

    `index [n]`: those of some rows of the columns given, gathered when they are first asked for.
    """

    def __init__(self, given: Mapping[str, Tensor] | None = None, index: Tensor | None = None) -> None:
        self._given = given or {}
        self._index, self._gathered = index, dict[str, Tensor]()

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._given:
            raise ExperimentError(
                f"The column `{name}` should be one that the memory has: {', '.join(self) or 'none'}. A term"
                " names the columns that it needs in `columns()`, even if another one fills them, too."
            )
        if self._index is None:
            return self._given[name]
        if name not in self._gathered:
            self._gathered[name] = self._given[name].index_select(0, self._index)
        return self._gathered[name]

    def __contains__(self, name: object) -> bool:
        return name in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


@dataclass(frozen=True, slots=True)
class Drawn(Prepared):
    """Rows drawn from a memory, with what terms have stored beside them.

    `place [n]`: which rows of the memory they are; None where they are not as they lie there.
    """

    columns: Columns = field(default_factory=Columns)
    place: npt.NDArray[np.int64] | None = None

    def take(self, index: Tensor, out: Prepared | None = None) -> Drawn:
        """Rows `index [m]`, copied."""
        z, y, heads = (tensor.index_select(0, index) for tensor in (self.z, self.y, self.heads))
        return Drawn(z, y, heads, Columns(self.columns, index))


class Lying(Drawn):
    """Rows `place [n]` of all those of a memory, `whole`: each part is gathered when it is first asked for.

    Valid until the step ends: then others may lie there.
    """

    def __init__(self, whole: Drawn, place: npt.NDArray[np.int64]) -> None:
        index = torch.from_numpy(place).to(whole.y.device)
        for name, value in (
            *(("whole", whole), ("place", place), ("index", index)),
            ("columns", Columns(whole.columns, index)),
        ):
            object.__setattr__(self, name, value)

    whole: Drawn
    index: Tensor

    def __len__(self) -> int:
        return self.index.shape[0]

    @cached_property
    def z(self) -> Tensor:
        return self.whole.z.index_select(0, self.index)

    @cached_property
    def y(self) -> Tensor:
        return self.whole.y.index_select(0, self.index)

    @cached_property
    def heads(self) -> Tensor:
        return self.whole.heads.index_select(0, self.index)


@dataclass(slots=True)
class Batch:
    """One optimiser step's rows. `present [heads]` says which heads the loss uses; terms may add to it.

    `encoded` and `logits` (the outputs) are filled in before the terms are asked for their loss. `drawn`: the
    rows that were drawn for each term that asked for some. `competing [n, outputs]`: those that the loss
    looks at; None: all. `pool` and `index [n]`: where the rows came from, but for those that have joined.
    """

    z: Tensor
    y: Tensor
    heads: Tensor
    present: npt.NDArray[np.bool_]
    encoded: Tensor | None = None
    logits: Tensor | None = None
    drawn: dict[Term, tuple[Drawn, ...]] = field(default_factory=dict)
    competing: Tensor | None = None
    pool: Pool | None = None
    index: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.y.shape[0]

    def join(self, rows: Prepared) -> None:
        """Rows more, behind those that are there."""
        self.z, self.y = torch.cat((self.z, rows.z)), torch.cat((self.y, rows.y))
        self.heads = torch.cat((self.heads, rows.heads))

    def tasks(self) -> Tensor | int:
        """The rows' heads; one number where all rows have the same."""
        different = np.flatnonzero(self.present)
        return int(different[0]) if len(different) == 1 else self.heads


class Pool:
    """The rows of one epoch, in a fixed order, from which shuffled batches are cut.

    Batches lie in memory that is used again: each is valid until the next one is asked for. The first rows
    are the training rows of `tasks`, so many of each, in their order; the others come from elsewhere.
    """

    def __init__(self, rows: Prepared, heads: int, tasks: Mapping[int, int] | None = None) -> None:
        self.rows, self.heads, self.tasks = rows, heads, tasks or {}
        self._pure = len(self.tasks) == 1 and sum(self.tasks.values()) == len(rows)
        self._host_heads = rows.heads.cpu().numpy()
        self._row_bytes = max(1, rows.z[:1].numel() * rows.z.element_size())
        self._memory: Prepared | None = None

    def by_task(
        self, index: npt.NDArray[np.int64]
    ) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """The training rows among rows `index [n]`: task, places in `index`, numbers in the task's rows."""
        if self._pure:
            yield next(iter(self.tasks)), np.arange(len(index)), index
            return
        first = 0
        for task, rows in self.tasks.items():
            places = np.flatnonzero((index >= first) & (index < first + rows))
            if len(places):
                yield task, places, index[places] - first
            first += rows

    def batches(self, size: int) -> int:
        """How many batches of `size` rows an epoch has."""
        return -(-len(self.rows) // size)

    def shuffled(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Batches of `size` rows (the last may be smaller) in an order drawn from `rng` at once."""
        order = rng.permutation(len(self.rows))
        return self._cut(order, self._presence(order, size), size)

    def _presence(self, order: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.bool_]:
        present = np.zeros((-(-len(order) // size), self.heads), dtype=np.bool_)
        present[np.arange(len(order)) // size, self._host_heads[order]] = True
        return present

    def _cut(
        self, order: npt.NDArray[np.int64], present: npt.NDArray[np.bool_], size: int
    ) -> Iterator[Batch]:
        block = max(1, GATHERED_BYTES // self._row_bytes // size) * size
        index = torch.from_numpy(order).to(self.rows.z.device)
        if self._memory is None:
            self._memory = self.rows.take(index[:block])
        for first in range(0, len(order), block):
            rows = self.rows.take(index[first : first + block], self._memory)
            parts = zip(*(torch.split(t, size) for t in (rows.z, rows.y, rows.heads)), strict=True)
            for start, (z, y, heads) in zip(range(first, len(order), size), parts, strict=False):
                batch = Batch(z, y, heads, present[start // size])
                batch.pool, batch.index = self, order[start : start + size]
                yield batch
