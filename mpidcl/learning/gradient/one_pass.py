"""Rows that go through the model in one pass with the batch: a small pass is mostly book-keeping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.learning.batches import Batch, Drawn, Prepared

if TYPE_CHECKING:
    from mpidcl.learning.gradient.learner import GradientLearner

Places = npt.NDArray[np.int64]
NOWHERE = -1


class OnePass:
    """Encodes a batch, and what was drawn beside it in the same pass.

    A row of the memory that several draws have is encoded once, and so has one dropout mask.
    """

    def __init__(self, learner: GradientLearner) -> None:
        self._learner = learner
        self._drawn: list[Drawn] = []
        self._logits: Tensor | None = None
        self._index: list[Tensor | slice] = []
        self._new_rows: list[tuple[Drawn, Tensor | None]] = []
        self.rows = 0
        """Different rows that go through the model beside the batch of this step."""
        self._lies = np.zeros(0, np.int64)
        """Where the outputs of each row of the memory lie, while a step is made ready."""

    def begin(self) -> None:
        """A step begins, with nothing beside its batch."""
        self._drawn, self._logits, self.rows = [], None, 0

    def add(self, rows: Drawn) -> None:
        """Rows whose outputs will be asked for; before `encode`."""
        self._drawn.append(rows)

    def ready(self) -> None:
        """All are there: find those that several draws have."""
        self._new_rows = self._different()
        self.rows = sum(len(rows) if chosen is None else len(chosen) for rows, chosen in self._new_rows)

    def encode(self, batch: Batch) -> None:
        """Fill in `batch.encoded`."""
        learner = self._learner
        model = learner.model
        if not self._drawn:
            batch.encoded = model.encode_rows(batch.z, batch.tasks())
            return
        parts = [rows if chosen is None else rows.take(chosen) for rows, chosen in self._new_rows]
        z = torch.cat([batch.z, *(part.z for part in parts)])
        heads = torch.cat([batch.heads, *(part.heads for part in parts)])
        one_head = learner.shape.heads == 1
        encoded = model.encode_rows(z, 0 if one_head else heads)
        batch.encoded, beside = torch.split(encoded, [len(batch), len(encoded) - len(batch)])
        self._logits = model.logits(beside, heads[len(batch) :])

    def _different(self) -> list[tuple[Drawn, Tensor | None]]:
        """Each draw with the numbers of its rows that no earlier one has; None: all of them.

        Notes where the outputs of each draw will lie.
        """
        found: list[tuple[Drawn, Tensor | None]] = []
        self._index, count = [], 0
        for rows in self._drawn:
            new = None if rows.place is None else self._new(rows.place, count)
            if new is None:
                self._index.append(slice(count, count + len(rows)))
                found.append((rows, None))
                count += len(rows)
            else:
                self._index.append(torch.from_numpy(self._lies[rows.place]).to(rows.y.device))
                found.append((rows, torch.from_numpy(new).to(rows.y.device)))
                count += len(new)
        for rows in self._drawn:
            if rows.place is not None:
                self._lies[rows.place] = NOWHERE
        return found

    def _new(self, place: Places, count: int) -> Places | None:
        """Which rows have no outputs yet, and get them behind `count` others; None: all of them."""
        more = int(place.max(initial=-1)) + 1 - len(self._lies)
        if more > 0:
            self._lies = np.append(self._lies, np.full(more, NOWHERE))
        new = np.flatnonzero(self._lies[place] == NOWHERE)
        self._lies[place[new]] = np.arange(count, count + len(new))
        return None if len(new) == len(place) else new

    def outputs(self, rows: Prepared) -> Tensor | None:
        """The outputs of rows that went with the batch [n, outputs of a head]; None for others."""
        for drawn, index in zip(self._drawn, self._index, strict=False):
            if drawn is rows and self._logits is not None:
                return (
                    self._logits[index] if isinstance(index, slice) else self._logits.index_select(0, index)
                )
        return None
