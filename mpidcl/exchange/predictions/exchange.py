"""Predictions: an agent names rows, and its neighbours tell what their models answer.

    leg 1   rows of the task in training, or remembered ones, with the head of each
    leg 2   the neighbour's outputs on those whose head it has, in eval mode
    settle  the mean over the neighbours that answered a row is kept beside it, for a term that distils

A neighbour that says nothing is left out of the mean; rows that nobody answered teach nothing, and are
counted. Part of "Decentralized Modular Knowledge Distillation for Sustainable Continual Learning" (research
proposal): an expert of a neighbour is not asked inside a forward pass, its outputs come before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mpidcl.base.state import Facts, State
from mpidcl.errors import FrameError
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Neighbourhood, Received
from mpidcl.exchange.capabilities import AnswersRows
from mpidcl.exchange.facts import compare_inputs, compare_outputs, output_facts
from mpidcl.exchange.packing.pixels import Pixels, decode_pixels, encode_pixels
from mpidcl.exchange.packing.rows import row_bytes
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Array, Message
from mpidcl.randomness import generator_state, load_generator_state, numpy_generator
from mpidcl.record.tables import Table, Tables, from_columns, to_columns

Floats = NDArray[np.float32]
Index = NDArray[np.int64]
ASKED, ANSWERED, PREDICTIONS = "rows", "outputs", "predictions"
MOST_ROWS = 60_000


class PredictionsOptions(Options):
    """Options of `kind = "predictions"`."""

    rows: int = Field(64, ge=1, le=MOST_ROWS, description="rows that neighbours are asked about at each use")
    of: Literal["training", "memory", "both"] = Field(
        "training", description="which rows: of tasks in training, remembered ones of tasks before, or both"
    )
    precision: Literal["float32", "float16"] = Field("float16", description="form of the outputs on the link")
    pixels: Pixels = Field(
        "auto", description="rows as float32 or uint8 on the link; auto: uint8 if lossless"
    )


@dataclass(frozen=True)
class PredictionsRow:
    """Rows that neighbours were asked about during a task, and those that none of them answered."""

    task: int
    asked: int
    unanswered: int


class Asked(NamedTuple):
    """Rows x [n, *input] and the head of each [n]; on the wire `wire [n, ...]` in a coding."""

    x: Floats
    heads: Index
    wire: Array
    coding: int


class PredictionsExchange(Exchange):
    """Asks neighbours for outputs, and answers theirs.

    Its table `predictions` counts the rows of each task: all that were named, and those that nobody answered.
    """

    Options: ClassVar[type[Options]] = PredictionsOptions
    legs: ClassVar[int] = 2
    clocks = ("lockstep",)
    options: PredictionsOptions
    learner: AnswersRows

    @classmethod
    def needs(cls, options: PredictionsOptions) -> tuple[type, ...]:
        """Rows, outputs, and a place for those of others."""
        return (AnswersRows,)

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A second one, whose answers would take the place of the first one's."""
        yield from super().problems(use)
        same = [n for n, one in enumerate(use.mine.exchange) if one.kind == PREDICTIONS]
        if len(same) > 1 and int(use.key[-1]) == same[1]:
            yield Problem(
                (*use.key, "kind"),
                f'should not be "predictions" twice: of = "both" asks about all rows. Found it at'
                f" [[exchange]] {same[0]}, too",
            )

    @classmethod
    def teaches(cls, options: object) -> str | None:
        return "predictions"

    def __init__(
        self, options: PredictionsOptions, learner: AnswersRows, neighbourhood: Neighbourhood
    ) -> None:
        super().__init__(options, learner, neighbourhood)
        self._random = numpy_generator(neighbourhood.seed, neighbourhood.agent, "exchange predictions")
        shape = learner.shape
        self._input, self._classes = tuple(shape.input_shape), int(shape.classes_per_head)
        self._asked: Asked | None = None
        self._task = 0
        self._counts: dict[int, PredictionsRow] = {}

    # --- bytes ----------------------------------------------------------------------------------

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        """Question and answer of one use: from one row to all that the options ask for."""
        each = row_bytes(int(np.prod(self._input)), self.options.pixels)
        least, most = (self._question(n, each) + self._reply(n) for n in (1, self.options.rows))
        return ByteRange(least, max(least, most if budget is None else min(most, budget)))

    def _question(self, count: int, each: int) -> int:
        empty = _question(np.empty((0, *self._input), np.uint8), np.empty(0, np.int64), 0, 0)
        return message_bytes(empty) + count * (each + 4)

    def _reply(self, count: int) -> int:
        kind = np.dtype(self.options.precision)
        empty = _reply(np.empty(0, np.uint16), np.empty((0, self._classes), kind))
        return message_bytes(empty) + count * (2 + kind.itemsize * self._classes)

    # --- asking and answering -------------------------------------------------------------------

    def begin_use(self, task: int) -> None:
        """Draw the rows; all neighbours are asked about the same ones."""
        self._task = task
        x, heads = self._drawn()
        wire, coding = encode_pixels(x, self.options.pixels) if len(x) else (np.empty(0, np.uint8), 0)
        self._asked = Asked(x, heads, wire, coding)

    def _drawn(self) -> tuple[Floats, Index]:
        learner = self.learner
        current, begun = set(learner.current), range(len(learner.seen))
        ways = {"training": (True,), "memory": (False,), "both": (True, False)}[self.options.of]
        wanted = [u for u in begun if (u in current) in ways]
        pools = [(learner.pool(u)[0], learner.seen[u].head) for u in wanted]
        total = sum(len(x) for x, _ in pools)
        if not total:
            return np.empty((0, *self._input), np.float32), np.empty(0, np.int64)
        chosen = np.sort(self._random.permutation(total)[: self.options.rows])
        parts, heads, first = [], [], 0
        for x, head in pools:
            mine = chosen[(chosen >= first) & (chosen < first + len(x))] - first
            parts.append(x[mine])
            heads.append(np.full(len(mine), head, dtype=np.int64))
            first += len(x)
        return np.concatenate(parts), np.concatenate(heads)

    def ask(self, link: LinkUse) -> Message | None:
        """The first rows, as many as leave room for their outputs; None without any."""
        asked = self._asked
        if asked is None or not len(asked.x):
            return None
        each = asked.wire[0].nbytes
        count = len(asked.x)
        while count and (
            self._question(count, each) + self._reply(count) > link.room
            or self._reply(count) > link.answer_room
        ):
            count -= 1
        if not count:
            return None
        return _question(asked.wire[:count], asked.heads[:count], asked.coding, link.answer_room)

    def answer(self, link: LinkUse, message: Message) -> Message | None:
        """Outputs on the rows whose head this agent has, as many as fit; None where there are none."""
        x, heads = self._read_question(message)
        tasks = {task.head: u for u, task in reversed(list(enumerate(self.learner.seen)))}
        known = np.flatnonzero(np.isin(heads, list(tasks)))
        room, kept = min(link.room, message.room), len(known)
        while kept and self._reply(kept) > room:
            kept -= 1
        if not kept:
            return None
        rows = known[:kept]
        outputs = np.empty((kept, self._classes), np.float32)
        for head in np.unique(heads[rows]).tolist():
            mine = heads[rows] == head
            outputs[mine] = self.learner.logits(x[rows[mine]], tasks[head])
        return _reply(rows.astype(np.uint16), outputs.astype(self.options.precision))

    def _read_question(self, message: Message) -> tuple[Floats, Index]:
        """Raises FrameError for rows of another shape, or another number of heads."""
        x, heads = message.arrays.get("x"), message.arrays.get("head")
        if x is None or heads is None or x.shape[1:] != self._input or heads.shape != x.shape[:1]:
            found = {name: list(array.shape) for name, array in message.arrays.items()}
            raise FrameError(f"rows should be x [n, {self._input}] with a head each. Found {found}.")
        return decode_pixels(x, int(message.scalars["coding"])), heads.astype(np.int64)

    def settle(self, received: list[Received]) -> None:
        """Keep the mean of what came for each row, in order of sender."""
        asked = self._asked
        if asked is None or not len(asked.x):
            return
        total = np.zeros((len(asked.x), self._classes))
        answers = np.zeros(len(asked.x), np.int64)
        for one in sorted(received, key=lambda r: r.source):
            rows, outputs = self._read_reply(one, len(asked.x))
            total[rows] += outputs
            answers[rows] += 1
        there = answers > 0
        so_far = self._counts.get(self._task, PredictionsRow(self._task, 0, 0))
        self._counts[self._task] = PredictionsRow(
            self._task, so_far.asked + len(there), so_far.unanswered + int((~there).sum())
        )
        if there.any():
            mean = (total[there] / answers[there, None]).astype(np.float32)
            self.learner.take_predictions(asked.x[there], asked.heads[there], mean)
        self._asked = None

    def _read_reply(self, received: Received, count: int) -> tuple[Index, Floats]:
        """Raises FrameError, with the sender, for rows that were not asked or outputs of another number."""
        arrays = received.message.arrays
        rows, outputs = arrays.get("row"), arrays.get("outputs")
        fits = rows is not None and outputs is not None and rows.ndim == 1
        if not fits or outputs.shape != (len(rows), self._classes):  # type: ignore[union-attr, arg-type]
            found = {name: list(array.shape) for name, array in arrays.items()}
            raise FrameError(
                f"an answer from agent {received.source}: outputs should be [n, {self._classes}] with a row"
                f" each. Found {found}."
            )
        assert rows is not None and outputs is not None
        index, values = rows.astype(np.int64), outputs.astype(np.float32)
        if len(np.unique(index)) < len(index) or (len(index) and int(index.max()) >= count):
            raise FrameError(
                f"an answer from agent {received.source}: rows should be different ones of the {count} asked."
                f" Found {index.tolist()[:8]}."
            )
        if not np.isfinite(values).all():
            raise FrameError(
                f"an answer from agent {received.source}: outputs should be finite. Found others."
            )
        return index, values

    # --- what neighbours compare ----------------------------------------------------------------

    def start_facts(self) -> Facts:
        """The agent, the shape of its rows, and what its outputs mean."""
        facts = {
            "agent": self.neighbourhood.agent,
            "input_shape": list(self._input),
            "classes": self._classes,
        }
        return facts | output_facts(self.learner)

    def compare_facts(self, mine: Facts, theirs: Facts) -> str | None:
        """Why the outputs of one mean nothing to the other, or None."""
        if mine["classes"] != theirs.get("classes"):
            return (
                f"agents {mine['agent']} and {theirs['agent']} should have as many outputs to learn from each"
                f" other's. Found {mine['classes']} and {theirs.get('classes')}."
            )
        return compare_inputs(mine, theirs) or compare_outputs(
            mine,
            theirs,
            'an exchange of kind "predictions"',
            "Leave the exchange out",
            "to learn from each other's",
        )

    def tables(self) -> Tables:
        """`predictions`: how many rows were asked about, by task."""
        rows = [self._counts[task] for task in sorted(self._counts)]
        return {PREDICTIONS: to_columns(PredictionsRow, rows)} if rows else {}

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the counts of a checkpoint."""
        if PREDICTIONS in tables:
            self._counts = {row.task: row for row in from_columns(PredictionsRow, tables[PREDICTIONS])}

    def state(self) -> State:
        """The generator."""
        return {"generator": generator_state(self._random)}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        load_generator_state(self._random, state["generator"])


def _question(x: Array, heads: Index, coding: int, room: int) -> Message:
    arrays: dict[str, Array] = {"x": np.ascontiguousarray(x), "head": heads.astype(np.int32)}
    return Message(ASKED, {"coding": coding}, arrays, room=room, floats=int(np.prod(x.shape)))


def _reply(rows: Array, outputs: Array) -> Message:
    return Message(ANSWERED, {}, {"row": rows, "outputs": outputs}, floats=outputs.size)
