"""The question of a modules exchange: which classes, or which rows, the new task has.

| `rank_by`, `query`  | what travels, beside the class keys where options need them              |
|---------------------|--------------------------------------------------------------------------|
| label               | class keys                                                               |
| leep, rows          | up to `query_rows` validation rows per class, with labels                |
| leep, prepared      | the same rows after the frozen input stage; gives the same LEEP          |
| leep, class-means   | one mean prepared row per class                                          |
| leep, none          | nothing                                                                  |

Labels are numbers of classes in the asker's own order, 0 .. C-1; to anybody else they mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import FrameError
from mpidcl.exchange.knowledge import ModuleKnowledge
from mpidcl.exchange.modules.checks import array_of, scalar_of
from mpidcl.exchange.modules.options import ModulesOptions
from mpidcl.exchange.packing.pixels import decode_pixels, encode_pixels
from mpidcl.exchange.packing.rows import Floats, Keys
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Array, Message

QUERY = "module-query"
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Validation rows of one task: x [n, ...], the number y [n] of each row's class among `classes`, and
    its `rank` [n] among the rows of its class."""

    x: Floats
    y: Labels
    rank: Labels
    classes: int

    def first(self, per_class: int) -> ScoredRows:
        """Only the first rows of every class."""
        few = self.rank < per_class
        return ScoredRows(self.x[few], self.y[few], self.rank[few], self.classes)


def scored_rows(known: ModuleKnowledge, task: int, per_class: int) -> ScoredRows:
    """The first validation rows of every class of a task, in the order of the task: it is random already."""
    x, labels = known.learner.validation(task)
    own = known.classes(task).labels
    y = np.searchsorted(own, labels)
    rank = np.empty(len(y), np.int64)
    for label in range(len(own)):
        rank[y == label] = np.arange(int((y == label).sum()))
    return ScoredRows(x, y, rank, len(own)).first(per_class)


def class_means(rows: ScoredRows) -> ScoredRows:
    """One mean row per class that has rows: x [C, ...], summed in float64."""
    present = np.unique(rows.y)
    means = [rows.x[rows.y == label].mean(axis=0, dtype=np.float64).astype(np.float32) for label in present]
    return ScoredRows(np.array(means, np.float32), present, np.zeros_like(present), rows.classes)


@dataclass(frozen=True, slots=True)
class Question:
    """What may be asked: `keys` [C] (None: not needed), and rows in the form in which they travel."""

    classes: int
    keys: Keys | None
    rows: ScoredRows | None = None
    wire: Array | None = None
    coding: int = 0

    @property
    def per_class(self) -> int:
        """The most rows of one class; 0 for a question without rows."""
        return 0 if self.rows is None or not len(self.rows.y) else int(self.rows.rank.max()) + 1

    def message(self, per_class: int, room: int) -> Message:
        """The question with the first rows of every class. The published budget does not charge it."""
        arrays: dict[str, Array] = {} if self.keys is None else {"class": self.keys}
        if self.rows is not None and self.wire is not None:
            few = self.rows.rank < per_class
            arrays |= {"x": self.wire[few], "y": self.rows.y[few].astype(np.uint16)}
        return Message(QUERY, {"classes": self.classes, "coding": self.coding}, arrays, room=room)


def question(options: ModulesOptions, known: ModuleKnowledge, task: int) -> Question | None:
    """What an agent asks about `task`; None when its LEEP needs validation rows and there are none."""
    classes = known.classes(task)
    keys = classes.keys if options.asks_with_classes else None
    if not options.asks_with_rows:
        return Question(len(classes.labels), keys)
    rows = scored_rows(known, task, options.query_rows)
    if not len(rows.y):
        return None
    if options.query == "rows":
        wire, coding = encode_pixels(rows.x, options.pixels)
        return Question(rows.classes, keys, rows, wire, coding)
    prepared = ScoredRows(known.learner.prepared(rows.x), rows.y, rows.rank, rows.classes)
    if options.query == "class-means":
        prepared = class_means(prepared)
    return Question(rows.classes, keys, prepared, np.ascontiguousarray(prepared.x))


def blank_question(
    options: ModulesOptions, known: ModuleKnowledge, row: tuple[int, ...], per_class: int
) -> int:
    """Bytes of the largest question with rows of shape `row` as they travel: before any data is there."""
    classes = known.classes_per_head
    keys = np.empty(classes, np.uint32) if options.asks_with_classes else None
    if not options.asks_with_rows:
        return message_bytes(Question(classes, keys).message(0, 0))
    per_class = 1 if options.query == "class-means" else per_class
    as_bytes = options.query == "rows" and options.pixels == "uint8"
    blank = np.empty((classes * per_class, *row), np.uint8 if as_bytes else np.float32)
    rank = np.tile(np.arange(per_class), classes)
    rows = ScoredRows(np.empty(0, np.float32), np.zeros(len(rank), np.int64), rank, classes)
    return message_bytes(Question(classes, keys, rows, blank).message(per_class, 0))


@dataclass(frozen=True, slots=True)
class Heard:
    """A neighbour's question, checked: number of its classes, their keys, and rows x [n, ...] with y [n]."""

    classes: int
    keys: Keys | None
    x: Floats | None = None
    y: Labels | None = None


def read_question(options: ModulesOptions, row: tuple[int, ...], message: Message) -> Heard:
    """What a neighbour asks; its rows should have the shape `row`. Raises FrameError for anything wrong."""
    classes = int(scalar_of(message, "classes", int))
    if message.kind != QUERY or not 1 <= classes <= 65_535:
        raise FrameError(
            f"a question about modules should have 1 to 65535 classes. Found {classes} in {message.kind!r}."
        )
    keys = array_of(message, "class", (np.uint32,), (classes,)) if options.asks_with_classes else None
    if not options.asks_with_rows:
        return Heard(classes, keys)
    y = array_of(message, "y", (np.uint16,), (-1,)).astype(np.int64)
    if len(y) > classes * options.query_rows:
        raise FrameError(
            f"a question about modules should show at most {options.query_rows} rows for each of its"
            f" {classes} classes. Found {len(y)}."
        )
    wire = array_of(message, "x", (np.float32, np.uint8), (len(y), *row))
    x = decode_pixels(wire, int(scalar_of(message, "coding", int)))
    if not len(y) or int(y.max()) >= classes or not np.isfinite(x).all():
        raise FrameError(
            f"rows of a question about modules should be finite and of the classes 0 to {classes - 1}. "
            f"Found {len(y)} rows, labels up to {int(y.max(initial=-1))}, "
            f"{int((~np.isfinite(x)).sum())} values that are not finite."
        )
    return Heard(classes, keys, x, y)
