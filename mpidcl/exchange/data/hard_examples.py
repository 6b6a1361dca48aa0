"""Receiver-first sharing ("Recv" of DCL, arXiv 2405.17466): the agent shows what it finds hard.

    leg 1   the q hardest validation rows of the queried tasks go to every neighbour
    leg 2   the neighbour returns the k rows of its pool nearest to each of them, by cosine similarity
            of its own encodings, over those of its tasks that pass the prefilter
    settle  rows of a class that the query's task does not hold are dropped, the others kept for it

Validation rows are used for queries here, for needs and for the user's own checks: three times. Test
rows never. When room is small there are fewer queries, then fewer rows per query; a link carries the
agent's queries and its answer to the neighbour's, so each leaves room for the other.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.arrays import Placed
from mpidcl.exchange.base import ByteRange, LinkUse
from mpidcl.exchange.data import prefilters
from mpidcl.exchange.data.nearest import Found, Index, best_of, by_rank, flat, nearest
from mpidcl.exchange.data.prefilters import Mask, Prefilter
from mpidcl.exchange.data.scorers import Scorer, score
from mpidcl.exchange.knowledge import RowKnowledge
from mpidcl.exchange.packing.pixels import Pixels, decode_pixels, encode_pixels
from mpidcl.exchange.packing.rows import (
    Arrivals,
    Floats,
    Keys,
    pack_rows,
    queries_bytes,
    queries_message,
    row_bytes,
    rows_bytes,
    unpack_rows,
)
from mpidcl.network.frames.message import Array, Message


class HardExampleOptions(Protocol):
    """The options of `DataExchange` that matter here."""

    @property
    def queries(self) -> int: ...
    @property
    def neighbours(self) -> int: ...
    @property
    def scorer(self) -> Scorer: ...
    @property
    def prefilter(self) -> Prefilter: ...
    @property
    def prefilter_neighbours(self) -> int: ...
    @property
    def labels(self) -> str: ...
    @property
    def tasks(self) -> str: ...
    @property
    def pixels(self) -> Pixels: ...


class HardExamples:
    """One agent's half of receiver-first sharing; both its questions and its answers."""

    def __init__(self, options: HardExampleOptions, known: RowKnowledge, random: np.random.Generator) -> None:
        self.options = options
        self.known = known
        self.random = random
        self._oracle = options.prefilter == "oracle"
        self._keyed = options.labels == "groundtruth"
        self._wire: Array = np.empty(0, np.float32)
        self._coding = 0
        self._tags = np.empty(0, np.int32)
        self._keys: Keys = np.empty(0, np.uint32)
        self._pool: _Pool | None = None

    def bytes_range(self, budget: int | None) -> ByteRange:
        """From one query and one row to all queries and all rows, in the widest pixels."""
        each = row_bytes(self.known.row_floats, self.options.pixels)
        count = self.options.queries
        most = self._query_bytes(count, each) + self._answer_bytes(count * self.options.neighbours, each)
        least = self._query_bytes(1, each) + self._answer_bytes(1, each)
        return ByteRange(least, max(least, most if budget is None else min(most, budget)))

    def _query_bytes(self, count: int, each: int) -> int:
        return queries_bytes(self.known.input_shape, count, each, self._oracle)

    def _answer_bytes(self, count: int, each: int) -> int:
        return rows_bytes(self.known.input_shape, count, count, each, self._keyed)

    def begin(self, task: int) -> None:
        """Find the hardest validation rows; all neighbours are shown the same ones."""
        self._pool = None
        found = [self._score(u) for u in self.known.asking(self.options.tasks, task)]
        if not found:
            self._tags = self._tags[:0]
            return
        scores = np.concatenate([scores for scores, *_ in found])
        # Stable: among equal scores the earlier task, then the earlier row.
        hardest = np.argsort(-scores, kind="stable")[: self.options.queries]
        x = np.concatenate([x for _, x, _, _ in found])[hardest]
        self._wire, self._coding = encode_pixels(x, self.options.pixels)
        self._tags = np.concatenate([tags for _, _, tags, _ in found])[hardest]
        self._keys = np.concatenate([keys for *_, keys in found])[hardest]

    def _score(self, task: int) -> tuple[NDArray[np.float64], Floats, NDArray[np.int32], Keys]:
        x, y = self.known.learner.validation(task)
        scores = score(self.options.scorer, self.known.learner.logits(x, task), y, self.random)
        return scores, x, self.known.tags(task, y), self.known.classes(task).keys_of(y)

    def ask(self, link: LinkUse) -> Message | None:
        """The hardest rows, as many as leave room for their answers both ways."""
        count = self._affordable(link)
        if count == 0:
            return None
        keys = self._keys[:count] if self._oracle else None
        floats = count * self.known.row_floats
        tags = self._tags[:count]
        return queries_message(self._wire[:count], self._coding, tags, keys, link.answer_room, floats)

    def _affordable(self, link: LinkUse) -> int:
        if len(self._tags) == 0:
            return 0
        each = self._wire[0].nbytes
        for count in range(len(self._tags), 0, -1):
            # One query is worth asking for one row; more queries only if each can have all its rows.
            wanted = count * self.options.neighbours if count > 1 else 1
            answer = self._answer_bytes(wanted, each)
            if self._query_bytes(count, each) + answer <= link.room and answer <= link.answer_room:
                return count
        return 0

    def answer(self, link: LinkUse, message: Message) -> Message | None:
        """The nearest rows of the pool, in order of rank; None when there are none or no room."""
        queries = decode_pixels(message.arrays["x"], int(message.scalars["coding"]))
        pool = self._read_pool()
        if len(queries) == 0 or len(pool.task) == 0:
            return None
        allowed = self._allowed(queries, message, pool)
        found = [self._nearest(queries, pool, allowed, tasks) for tasks in self.known.encoders()]
        query, row = by_rank(best_of(found, self.options.neighbours))
        if len(row) == 0:
            return None
        charge = len(queries) * self.options.neighbours * self.known.row_floats
        tags, keys = message.arrays["tag"][query], pool.keys if self._keyed else None
        return pack_rows(pool.x, row, tags, keys, self.options.pixels, min(link.room, message.room), charge)

    def _read_pool(self) -> _Pool:
        if self._pool is None:
            self._pool = _Pool(self.known)
        return self._pool

    def _allowed(self, queries: Floats, message: Message, pool: _Pool) -> Mask:
        tasks = self.known.tasks
        if self.options.prefilter == "oracle":
            keys = cast("Keys", message.arrays["class"])
            return prefilters.oracle(keys, [self.known.classes(u).keys for u in tasks])
        if self.options.prefilter == "raw-distance":
            near = self.options.prefilter_neighbours
            learner = self.known.learner
            return prefilters.raw_distance(learner, queries, pool.pixels, pool.task, len(tasks), near)
        return prefilters.none(len(queries), len(tasks))

    def _nearest(self, queries: Floats, pool: _Pool, allowed: Mask, tasks: list[int]) -> Found:
        """The nearest rows of the pool among those of tasks with one encoder, as that encoder sees them."""
        learner, rows = self.known.learner, pool.of(tasks)
        asked = learner.features(queries, tasks[0])
        mask = allowed[:, pool.task[rows]]
        row, similarity = nearest(learner, asked, pool.features(tasks), self.options.neighbours, mask)
        return np.where(row >= 0, rows[row], -1), similarity

    def read(self, message: Message) -> tuple[Arrivals, int]:
        """What an answer brings, labelled; and how many of its rows are of the class of their query."""
        x, row = unpack_rows(message)
        tasks, wanted = self.known.untag(message.arrays["tag"])
        labels = wanted
        if self._keyed:
            keys = cast("Keys", message.arrays["class"])
            labels = self.known.labels_of(tasks, keys[row])
        return Arrivals(tasks, x[row], labels), int((labels == wanted).sum())

    def end(self) -> None:
        """Forget what was prepared for the meeting."""
        self._pool = None


class _Pool:
    """All rows that the agent may share: training rows of the current task, replay of the others."""

    def __init__(self, known: RowKnowledge) -> None:
        self._known = known
        pools = [known.learner.pool(u) for u in known.tasks]
        empty = np.empty((0, *known.input_shape), np.float32)
        self.x: Floats = np.concatenate([x for x, _ in pools]) if pools else empty
        self.task = np.repeat(np.arange(len(pools)), [len(y) for _, y in pools])
        keys = [known.classes(u).keys_of(y) for u, (_, y) in enumerate(pools)]
        self.keys: Keys = np.concatenate(keys) if keys else np.empty(0, np.uint32)
        self._features: dict[int, Placed] = {}

    def of(self, tasks: list[int]) -> Index:
        """The rows [m] that belong to these tasks."""
        return np.flatnonzero(np.isin(self.task, tasks))

    def features(self, tasks: list[int]) -> Placed:
        """Encodings [m, width] of the rows of tasks with one encoder, placed; made once for all who ask."""
        if tasks[0] not in self._features:
            learner = self._known.learner
            self._features[tasks[0]] = learner.place(learner.features(self.x[self.of(tasks)], tasks[0]))
        return self._features[tasks[0]]

    @cached_property
    def pixels(self) -> Placed:
        """All rows [n, d], placed."""
        return self._known.learner.place(flat(self.x))
