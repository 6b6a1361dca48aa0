"""Rows that go through the model in one pass with the batch: a small pass is mostly book-keeping."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.learning.batches import Batch, Drawn, Lying, Prepared
from mpidcl.model.one_head import Chosen
from mpidcl_kernels.slots import first_of_each

if TYPE_CHECKING:
    from mpidcl.learning.gradient.learner import GradientLearner

Places = npt.NDArray[np.int64]
NOWHERE = -1


class _Source(NamedTuple):
    """Rows `chosen [m]` of `rows`, None: all of them."""

    rows: Prepared
    chosen: Tensor | None

    def __len__(self) -> int:
        return len(self.rows) if self.chosen is None else self.chosen.shape[0]

    def heads(self) -> Tensor:
        return self.rows.heads if self.chosen is None else self.rows.heads.index_select(0, self.chosen)

    def gather(self, out: Tensor) -> None:
        """Write the prepared rows to `out [m, ...]`."""
        if self.chosen is None:
            out.copy_(self.rows.z)
        else:
            torch.index_select(self.rows.z, 0, self.chosen, out=out)


class OnePass:
    """Encodes a batch, and what was drawn beside it in the same pass.

    A row of the memory that several draws have is encoded once, and so has one dropout mask. Rows are
    gathered behind those of the batch, in room that is used again at the next step.
    """

    def __init__(self, learner: GradientLearner) -> None:
        self._learner = learner
        self._drawn: list[Drawn] = []
        self._chosen: list[Chosen] = []
        self._outputs: list[Tensor] = []
        self._sources: list[_Source] = []
        self.rows = 0
        """Different rows that go through the model beside the batch of this step."""
        self._lies = np.zeros(0, np.int64)
        """For each row of the memory, `_base` + where its outputs lie among those of this step; else less."""
        self._base = 0
        self._room = torch.empty(0)

    def begin(self) -> None:
        """A step begins, with nothing beside its batch."""
        self._drawn, self._outputs, self.rows = [], [], 0

    def add(self, rows: Drawn) -> None:
        """Rows whose outputs will be asked for; before `encode`."""
        self._drawn.append(rows)

    def ready(self) -> None:
        """All are there: find those that several draws have."""
        if self._drawn:
            self._sources = self._different()
            self.rows = sum(map(len, self._sources))

    def gathered(self, batch: Batch) -> Tensor:
        """The rows of the batch and those beside it [n, ...], valid until the next step."""
        return self._joined(batch.z) if self._drawn else batch.z

    @property
    def chosen(self) -> list[Chosen]:
        """Which of the rows beside the batch each draw has."""
        return self._chosen

    def put(self, outputs: list[Tensor]) -> None:
        """The outputs of each draw are these."""
        self._outputs = outputs

    def encode(self, batch: Batch) -> None:
        """Fill in `batch.encoded`."""
        model, z = self._learner.model, self.gathered(batch)
        if not self._drawn:
            batch.encoded = model.encode_rows(z, batch.tasks())
            return
        if self._learner.shape.heads == 1:
            beside = batch.heads.new_zeros(self.rows)
            encoded = model.encode_rows(z, 0)
        else:
            beside = torch.cat([source.heads() for source in self._sources])
            encoded = model.encode_rows(z, torch.cat([batch.heads, beside]))
        batch.encoded, self._outputs = model.outputs_beside(encoded, len(batch), beside, self._chosen)

    def _joined(self, first: Tensor) -> Tensor:
        """Rows `first [n, ...]` and then all others, valid until the next step."""
        start = first.shape[0]
        rows = start + self.rows
        if self._room.shape[1:] != first.shape[1:] or self._room.shape[0] < rows:
            self._room = first.new_empty(start + sum(map(len, self._drawn)), *first.shape[1:])
        self._room[:start] = first
        for source in self._sources:
            source.gather(self._room[start : start + len(source)])
            start += len(source)
        return self._room[:rows]

    def _different(self) -> list[_Source]:
        """The rows of each draw that no earlier one has. Notes where the outputs of each draw will lie."""
        found: list[_Source] = []
        self._chosen, count = [], 0
        for rows in self._drawn:
            source: _Source = _Source(rows, None)
            places: Tensor | None = None
            if rows.place is not None:
                source, places = self._new(rows, rows.place, count)
            self._chosen.append(slice(count, count + len(source)) if places is None else places)
            found.append(source)
            count += len(source)
        self._base += count
        return found

    def _new(self, rows: Drawn, place: Places, count: int) -> tuple[_Source, Tensor | None]:
        """Those that have no outputs yet, and get them behind `count` others, straight from the memory where
        they lie there; and where the outputs of each one lie, None: one after the other from there on."""
        if len(place) and (most := int(place.max())) >= len(self._lies):
            self._lies = np.append(self._lies, np.full(most + 1 - len(self._lies), NOWHERE))
        places, new = first_of_each(place, self._lies, self._base, count)
        whole = len(new) == len(place)
        index = None if whole else torch.from_numpy(new).to(self._learner.device)
        if isinstance(rows, Lying):
            source = _Source(rows.whole, rows.index if index is None else rows.index[index])
        else:
            source = _Source(rows, index)
        return source, None if whole else torch.from_numpy(places).to(self._learner.device)

    def outputs(self, rows: Prepared) -> Tensor | None:
        """The outputs of rows that went with the batch [n, outputs of a head]; None for others."""
        found = zip(self._drawn, self._outputs, strict=False)  # no outputs before `encode`
        return next((outputs for drawn, outputs in found if drawn is rows), None)
