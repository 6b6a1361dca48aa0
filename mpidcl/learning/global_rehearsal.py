"""Rows drawn from the memories of all agents for the terms of a step: owners send, nobody asks.

Every agent can compute what everybody draws: sizes are told one step late, and a draw is a function of seed,
step and sizes. So each sends what others drew from its memory at its own step boundary, one step ahead, and
the rows travel while all compute. What is drawn is that of Bouvier et al. 2024 (arXiv 2406.03285), made
exactly uniform; the protocol is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.learning.batches import Drawn
from mpidcl.learning.rehearsal import Rehearsal, Rehearsed, Whose
from mpidcl.learning.replay_log import ReplayLog
from mpidcl.learning.terms.base import Draw, Term
from mpidcl.memory.by_class import ByClass
from mpidcl.memory.draws import draws, spans
from mpidcl.memory.grouped import Memory
from mpidcl.network.requests import Asking, Post, Take, Taken
from mpidcl_kernels.draws import Plan

Numbers = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]


class _Coming(NamedTuple):
    """What travels for the next step.

    `into`: rows as they arrive; `lies [n]`: where each of the `numbers [n]` drawn lies there; `counts`: rows
    of each draw.
    """

    into: Records
    lies: Numbers
    numbers: Numbers
    counts: list[int]


class Global(Rehearsal):
    """Draws from the memories of all agents as if they were one, uniformly and without replacement.

    All agents take part in every step of a pass, and make the same draws. Rows for a step are chosen among
    those that their owners had told of one step before, and are copied before the step in which they travel:
    a batch never replays itself. Nothing is under way between two passes.
    """

    def __init__(
        self,
        memory: Memory,
        columns: Sequence[str],
        ready: Callable[[Mapping[str, Tensor]], Drawn],
        whose: Whose,
    ) -> None:
        super().__init__(memory, columns, whose)
        self._ready, self._agents = ready, whose.agents
        self.shares = whose.agents
        fields = [(c.name, c.dtype, c.shape) for c in memory.columns if c.name in columns]
        self._type = np.dtype(fields, align=True)
        self._posts = self._step = self._left = 0
        self._told = np.zeros((whose.agents, whose.classes or 1), np.int64)
        self._lengths: list[int] = []
        self._classes: ByClass | None = None
        self._coming: _Coming | None = None
        self._blocks = [np.empty(0, self._type), np.empty(0, self._type)]
        self._leaving = np.empty(0, self._type)
        self._tasks = np.empty(0, [("task", np.int64)])
        self._sent_bytes = 0
        self.log: ReplayLog = ReplayLog()

    @property
    def sent_bytes(self) -> int:
        return self._sent_bytes

    # --- the steps of a pass ----------------------------------------------------------------------

    def begin_pass(self, steps: int, task: int) -> Asking[int]:
        """Raises ExperimentError where no term draws rows: those of others would never come."""
        if not self.draws:
            raise ExperimentError(
                'memory.scope = "global" should go with a term that draws rows at each step, such as'
                ' { kind = "replay", mix = "batch" } or "der". Found none in [learning] terms. Add one, or'
                ' set memory.scope = "local".'
            )
        self.log.begin_pass(task)
        yield from self._post([steps], {}, {})
        told = yield from self._taken()
        self._left, self._told = int(told[:, 0].max()), told[:, 1:]
        if self._left:
            yield from self._send()
        self.log.turn_to("load")
        return self._left - steps

    def draw(self, acting: Sequence[Term]) -> Asking[Rehearsed]:
        coming, self._coming = self._coming, None
        assert coming is not None  # a step was announced by `begin_pass`
        self._told = yield from self._taken()
        self.log.drew(sum(draw.rows for draw in self._every()), len(coming.into))
        self._step, self._left = self._step + 1, self._left - 1
        if self._left:
            yield from self._send()
        self.log.turn_to("train")
        if not len(coming.into):
            return {}
        return {term: rows for term, rows in self._shared_out(coming).items() if term in acting}

    def pass_over(self) -> Asking[None]:
        yield from self.draw(())

    def _shared_out(self, coming: _Coming) -> Rehearsed:
        """The rows of each draw of each term, copied and made ready."""
        stored = {name: torch.from_numpy(coming.into[name]) for name in self._columns}
        place = np.unique(coming.numbers, return_inverse=True)[1]
        rows, first = [], 0
        for count in coming.counts:
            mine = slice(first, first + count)
            index = torch.from_numpy(coming.lies[mine])
            columns = {name: values.index_select(0, index) for name, values in stored.items()}
            rows.append(replace(self._ready(columns), place=place[mine]))
            first += count
        each = iter(rows)
        return {term: tuple(islice(each, len(drawn))) for term, drawn in self.draws}

    # --- what travels -----------------------------------------------------------------------------

    def _send(self) -> Asking[None]:
        """Rows for the next step set out: what others drew from here, and what was drawn for this agent."""
        self.log.turn_to("draw")
        wanted = [draw.rows for draw in self._every()]
        plan = draws(
            self._seed, self._step, self._told, wanted, self._agent, balanced=bool(self._whose.classes)
        )
        into, held = self._block(self._step % 2, len(plan.owner)), int(self._told.sum())
        counts = [min(rows, held) for rows in wanted]
        self._coming = _Coming(into, plan.arrival, plan.name, counts)
        leaving = self._leave(plan)
        coming = {one: into[part] for one, part in spans(plan.owners, plan.came)}
        if self._agent in coming:
            coming.pop(self._agent)[:] = leaving.pop(self._agent)
        yield from self._post([], leaving, coming)

    def _leave(self, plan: Plan) -> dict[int, Records]:
        """Copies of the rows that anybody drew from this memory, by agent."""
        position = plan.numbers
        if self._classes is not None:
            position = self._classes.positions(plan.classes, position)
        if len(position) > len(self._leaving):
            self._leaving = np.empty(len(position), self._type)
        packed = self._leaving[: len(position)]
        self._memory.pack(position, self._lengths, packed)
        if len(position) > len(self._tasks):
            self._tasks = np.empty(len(position), self._tasks.dtype)
        self._memory.pack(position, self._lengths, self._tasks[: len(position)])
        self.log.gave(self._tasks["task"][: len(position)])
        return {one: packed[part] for one, part in spans(plan.readers, plan.left)}

    def _block(self, which: int, rows: int) -> Records:
        """One of two blocks in turn: the rows of a step stay until those of the next have arrived."""
        if len(self._blocks[which]) < rows:
            self._blocks[which] = np.empty(rows, self._type)
        return self._blocks[which][:rows]

    def _post(self, words: list[int], out: dict[int, Records], into: dict[int, Records]) -> Asking[None]:
        """Begin to send, and tell how many rows, of each class, may be drawn here from now on."""
        self._lengths = self._memory.lengths()
        self._classes = self._by_class() if self._whose.classes else None
        held = [sum(self._lengths)] if self._classes is None else self._classes.sizes
        told = np.concatenate([words, held]).astype(np.int64)
        self._sent_bytes += sum(rows.nbytes for rows in out.values()) + told.nbytes * (self._agents - 1)
        self._posts += 1
        numbers: dict[int, npt.NDArray[np.generic]] = {**out}
        yield Post(f"replay step {self._step}", self._posts, told, numbers, {**into}, planned=True)

    def _taken(self) -> Asking[Numbers]:
        """What all have told with the last post [agents, words]."""
        self.log.turn_to("wait")
        taken: Taken = yield Take(f"replay step {self._step}", self._posts)
        self.log.waited(self.log.turn_to("draw"), taken.late_s)
        return taken.told

    # --- record and checkpoint --------------------------------------------------------------------

    def _every(self) -> Iterator[Draw]:
        return (draw for _, drawn in self.draws for draw, _ in drawn)

    def state(self) -> State:
        """Counts alone: between two passes nothing is under way, and a draw is a function of the step."""
        return {"posts": self._posts, "step": self._step, "sent_bytes": self._sent_bytes}

    def load(self, state: State) -> None:
        self._posts, self._step = int(state["posts"]), int(state["step"])
        self._sent_bytes = int(state["sent_bytes"])
