"""Rows that were drawn, changed, and sent home: logits that were computed anew, say.

Who lent which rows to whom is known from the plan. So with every push each reader sends back what it drew one
push before, changed or not, to the agents that hold it, in as many bytes each time; again nobody asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mpidcl.base.state import State
from mpidcl.errors import ReplayError
from mpidcl.memory.buffer import SEQUENCE
from mpidcl.memory.replay.blocks import Drawn, runs
from mpidcl.memory.replay.settings import Settings
from mpidcl.memory.replay.share import Indices, Records, Share, check_columns
from mpidcl_kernels.base.types import View

NONE = np.empty(0, np.int64)
CHANGED = SEQUENCE
"""Of an edit on its way: whether it is one. No column can have this name."""


class Lent(NamedTuple):
    """Rows of this agent that others drew, sorted by reader: reader, slot and sequence [n] of each."""

    reader: Indices
    slots: Indices
    sequence: Indices


class Edits:
    """Of one agent. An edit is dropped where its row has made room for another one in the meantime.

    Of two edits of one row that of the higher agent stays, and of its own the later one in its draws.
    """

    def __init__(self, settings: Settings, share: Share, agent: int) -> None:
        self._share, self._agent = share, agent
        self._columns = [column for column in settings.columns if column.name in settings.edits]
        fields = [(CHANGED, np.uint8), *((c.name, c.dtype, c.shape) for c in self._columns)]
        self.dtype = np.dtype(fields, align=True)
        self.start_anew()

    def start_anew(self) -> None:
        """Nothing was lent and nothing drawn."""
        self._lent = self._coming = Lent(NONE, NONE, NONE)
        self._drawn: tuple[Indices, Indices] = NONE, NONE  # owners as rows arrived, and the order of draws
        self._arriving: Records = np.zeros(0, self.dtype)

    def check(self, given: Mapping[str, View], waited: bool) -> dict[str, View]:
        """Raises ReplayError for edits that are not those of the rows that were drawn last."""
        if not waited:
            raise ReplayError(
                "Edits should be of rows that `wait` gave after the last `push`. Found none given."
            )
        rows = check_columns(self._columns, given, "Edits")
        count = len(rows[self._columns[0].name])
        if count != len(self._drawn[0]):
            raise ReplayError(
                f"Edits should be of all {len(self._drawn[0])} rows of the last `wait`, in their order."
                f" Found {count}."
            )
        return rows

    def begin(self, given: Mapping[str, View] | None) -> tuple[dict[int, Records], dict[int, Records]]:
        """What goes to the owners of the rows drawn last, and room for what comes of the rows lent last."""
        owner, order = self._drawn
        leaving = np.zeros(len(owner), self.dtype)
        if given is not None:
            leaving[CHANGED] = 1
            for name, values in given.items():
                leaving[name][order] = values
        self._coming, self._arriving = self._lent, np.zeros(len(self._lent.reader), self.dtype)
        out = {one: leaving[part] for one, part in runs(owner)}
        into = {one: self._arriving[part] for one, part in runs(self._coming.reader)}
        if self._agent in out:
            into.pop(self._agent)[:] = out.pop(self._agent)
        return out, into

    def lend(self, reader: Indices, slots: Indices, drawn: Drawn) -> None:
        """These rows of this agent leave now, one reader after the other; and this is what it has drawn."""
        order = np.argsort(reader, kind="stable")
        reader, slots = reader[order], slots[order]
        self._lent = Lent(reader, slots, self._share.records[SEQUENCE][slots].astype(np.int64))
        order = np.concatenate([NONE, *drawn.places]) if len(drawn.places) > 1 else np.arange(drawn.rows)
        self._drawn = drawn.owner, order

    def apply(self) -> None:
        """Everything has come: write it to rows that are still there."""
        coming, share = self._coming, self._share
        same = share.records[SEQUENCE][coming.slots].astype(np.int64) == coming.sequence
        mine = np.flatnonzero(same & (self._arriving[CHANGED] == 1))
        for column in self._columns:  # in order: of two edits of one row the last stays
            share.storage.put_column(column.name, coming.slots[mine], self._arriving[column.name][mine])
        self._coming, self._arriving = Lent(NONE, NONE, NONE), self._arriving[:0]

    def state(self) -> State:
        """What was lent and drawn last: edits of it may still come."""
        lent = dict(zip(Lent._fields, self._lent, strict=True))
        return {**lent, "owner": self._drawn[0].copy(), "order": self._drawn[1].copy()}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._lent = Lent(*(np.array(state[name], np.int64) for name in Lent._fields))
        self._drawn = np.array(state["owner"], np.int64), np.array(state["order"], np.int64)
