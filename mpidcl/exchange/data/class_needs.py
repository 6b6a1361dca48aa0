"""Need-based sharing ("Simp" of DCL, arXiv 2405.17466): the agent says how badly it knows each class.

    leg 1   need[c] = 1 - validation accuracy of the task that holds class c
    leg 2   the neighbour splits its budget of rows over the classes it owns in proportion to need
            (largest remainder) and draws that many of its rows uniformly, without replacement
    settle  optionally cut to class balance; kept for the task that holds the class

Needs name global classes: this form of sharing is oracle information from end to end. A class that
several of the agent's tasks hold is asked for once, for the task that needs it most. Classes of
which the neighbour has fewer rows than their share give what there is.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpidcl.exchange.base import ByteRange, LinkUse
from mpidcl.exchange.knowledge import RowKnowledge
from mpidcl.exchange.packing.apportion import largest_remainder
from mpidcl.exchange.packing.pixels import Pixels, encode_pixels
from mpidcl.exchange.packing.rows import (
    NEEDS,
    Arrivals,
    Floats,
    Keys,
    pack_rows,
    row_bytes,
    rows_bytes,
    unpack_rows,
)
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Array, Message

_EACH = 12  # a class key, a need and a tag


class ClassNeedOptions(Protocol):
    """The options of `DataExchange` that matter here."""

    @property
    def rows(self) -> int: ...
    @property
    def tasks(self) -> str: ...
    @property
    def balance(self) -> bool: ...
    @property
    def pixels(self) -> Pixels: ...


class ClassNeeds:
    """One agent's half of need-based sharing; both its needs and its answers."""

    def __init__(self, options: ClassNeedOptions, known: RowKnowledge, random: np.random.Generator) -> None:
        self.options = options
        self.known = known
        self.random = random
        self._keys: Keys = np.empty(0, np.uint32)
        self._needs: Floats = np.empty(0, np.float32)
        self._tags = np.empty(0, np.int32)
        self._pool: tuple[Floats, Keys, int] | None = None

    def bytes_range(self, budget: int | None) -> ByteRange:
        """From one need and one row to the needs of all classes and all rows, in the widest pixels."""
        each = row_bytes(self.known.row_floats, self.options.pixels)
        classes = self.known.heads * self.known.classes_per_head
        most = self._ask_bytes(classes) + self._answer_bytes(self.options.rows, each)
        least = self._ask_bytes(1) + self._answer_bytes(1, each)
        return ByteRange(least, max(least, most if budget is None else min(most, budget)))

    def _ask_bytes(self, count: int) -> int:
        return message_bytes(self._message(0, 0)) + count * _EACH

    def _answer_bytes(self, count: int, each: int) -> int:
        return rows_bytes(self.known.input_shape, count, count, each, False)

    def begin(self, task: int) -> None:
        """Measure the needs, the greatest first."""
        self._pool = None
        needs: dict[int, tuple[float, int]] = {}
        for u in self.known.asking(self.options.tasks, task):
            need, classes = self._need(u), self.known.classes(u)
            tags = self.known.tags(u, classes.labels)
            for key, tag in zip(classes.keys.tolist(), tags.tolist(), strict=True):
                if need > needs.get(key, (0.0, 0))[0]:
                    needs[key] = need, tag
        ordered = sorted(needs.items(), key=lambda item: (-item[1][0], item[1][1]))
        self._keys = np.array([key for key, _ in ordered], np.uint32)
        self._needs = np.array([need for _, (need, _) in ordered], np.float32)
        self._tags = np.array([tag for _, (_, tag) in ordered], np.int32)

    def _need(self, task: int) -> float:
        x, y = self.known.learner.validation(task)
        if len(y) == 0:
            return 0.0
        return float(1 - np.mean(self.known.learner.logits(x, task).argmax(axis=1) == y))

    def ask(self, link: LinkUse) -> Message | None:
        """The needs, greatest first, as many as leave room for a row each way; None without any."""
        row = self._answer_bytes(1, row_bytes(self.known.row_floats, self.options.pixels))
        fits = (link.room - row - self._ask_bytes(0)) // _EACH
        count = min(len(self._keys), fits)
        if count <= 0 or link.answer_room < row:
            return None
        return self._message(count, link.answer_room)

    def _message(self, count: int, room: int) -> Message:
        arrays: dict[str, Array] = {
            "class": self._keys[:count],
            "need": self._needs[:count],
            "tag": self._tags[:count],
        }
        # The published budget does not charge needs (DCL, arXiv 2405.17466).
        return Message(NEEDS, {}, arrays, room=room)

    def answer(self, link: LinkUse, message: Message) -> Message | None:
        """Rows drawn for the neighbour's needs; None when no class is owned or no row fits."""
        keys, needs = message.arrays["class"], message.arrays["need"]
        room = min(link.room, message.room)
        x, owned, each = self._read_pool()
        rows_of = [np.flatnonzero(owned == key) for key in keys]
        weights = np.where([len(rows) > 0 for rows in rows_of], needs, 0.0)
        shares = self._shares(weights, room, each)
        drawn = [self._draw(rows, int(share)) for rows, share in zip(rows_of, shares, strict=True)]
        row = np.concatenate([np.empty(0, np.intp), *drawn])
        if len(row) == 0:
            return None
        tags = np.repeat(message.arrays["tag"], [len(rows) for rows in drawn])
        return pack_rows(x, row, tags, None, self.options.pixels, room, len(row) * self.known.row_floats)

    def _read_pool(self) -> tuple[Floats, Keys, int]:
        """All rows that the agent may share, their class keys, and the bytes that a row takes."""
        if self._pool is None:
            pools = [self.known.learner.pool(u) for u in self.known.tasks]
            keys = [self.known.classes(u).keys_of(y) for u, (_, y) in enumerate(pools)]
            none = np.empty((0, *self.known.input_shape), np.float32)
            x = np.concatenate([none, *(x for x, _ in pools)])
            wire, _ = encode_pixels(x, self.options.pixels)
            each = wire.itemsize * self.known.row_floats
            self._pool = x, np.concatenate([np.empty(0, np.uint32), *keys]), each
        return self._pool

    def _shares(self, weights: NDArray[np.float64], room: int, each: int) -> NDArray[np.int64]:
        """Rows per class of the budget, or of what fits, so that the split stays in proportion."""
        empty = self._answer_bytes(0, each)
        fits = max(0, room - empty) // (self._answer_bytes(1, each) - empty)
        return largest_remainder(min(self.options.rows, fits), weights)

    def _draw(self, rows: NDArray[np.intp], share: int) -> NDArray[np.intp]:
        if share == 0 or len(rows) == 0:
            return rows[:0]
        return np.sort(self.random.choice(rows, size=min(share, len(rows)), replace=False))

    def read(self, message: Message) -> tuple[Arrivals, int]:
        """What an answer brings; the class asked for is the class that comes."""
        x, row = unpack_rows(message)
        tasks, labels = self.known.untag(message.arrays["tag"])
        arrivals = Arrivals(tasks, x[row], labels)
        return (balanced(arrivals) if self.options.balance else arrivals), len(row)

    def end(self) -> None:
        """Forget what was prepared for the meeting."""
        self._pool = None


def balanced(arrivals: Arrivals) -> Arrivals:
    """The first m rows of every class of a task, m = the fewest rows of a class that came for it."""
    _, group = np.unique(np.stack([arrivals.tasks, arrivals.y]), axis=1, return_inverse=True)
    group = group.reshape(-1)
    counts = np.bincount(group)
    rank = np.array([np.sum(group[:i] == g) for i, g in enumerate(group)], np.int64)
    fewest = {int(t): counts[np.unique(group[arrivals.tasks == t])].min() for t in np.unique(arrivals.tasks)}
    kept = rank < np.array([fewest[int(t)] for t in arrivals.tasks], np.int64)
    return Arrivals(arrivals.tasks[kept], arrivals.x[kept], arrivals.y[kept])
