"""One replay buffer over all agents: owners send, nobody asks.

Every agent tells, one step late, how many rows it holds. So every agent knows all draws (`memory.draws`), and
who holds a row that another one has drawn sends it while all train. Nothing here waits or knows MPI: methods
are generators of requests, which an agent yields to its driver and a library hands to MPI.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from mpidcl.base.state import State
from mpidcl.errors import ReplayError
from mpidcl.memory.draws import draws, spans
from mpidcl.memory.replay.blocks import Blocks, Drawn
from mpidcl.memory.replay.edits import Edits
from mpidcl.memory.replay.settings import Settings
from mpidcl.memory.replay.share import Indices, Records, Share
from mpidcl.network.requests import Asking, Post, Take, Taken
from mpidcl_kernels.base.types import View
from mpidcl_kernels.draws import Plan

NONE = np.empty(0, np.int64)
_ENDED, _FIXED = 0, 1
"""Words that are told before the sizes: whether the agent has ended."""


class _Way(NamedTuple):
    """A round that is under way: its post, and what will have been drawn."""

    number: int
    when: str
    drawn: Drawn


class SharedReplay:
    """The part of one agent. All agents call `push`, as often; `wait` gives what was drawn at the last one.

    Rows of step t are drawn from what all held after push t - 2, so a batch never replays itself, and the
    first two steps have none. An agent without rows pushes None; one that has ended calls `finish`.
    """

    def __init__(self, settings: Settings, agents: int, agent: int) -> None:
        self.settings, self.agents, self.agent = settings, agents, agent
        self.share = Share(settings, agents, agent)
        rows, dtype = sum(settings.draws), self.share.storage.type
        self.edits = Edits(settings, self.share, agent) if settings.edits else None
        self.blocks, self.nothing = Blocks(dtype, rows), np.zeros(0, dtype)
        self.step = 0
        """Pushes so far."""
        self.told: Indices = np.zeros((agents, _FIXED + self._words), np.int64)
        self.sent_rows = 0
        """Rows that went to other agents."""
        self.late_s = 0.0
        """Seconds in all waits until the slowest agent had come to the same step."""
        self._leaving: Records = np.zeros(rows if agents > 1 else 0, dtype)
        self._counts = np.array(settings.draws, np.int64)
        self._number = 0
        self._way: _Way | None = None
        self._ready: Drawn | None = self._no_rows()

    @property
    def _words(self) -> int:
        return self.settings.counted if self.settings.balanced else 1

    @property
    def sizes(self) -> Indices:
        """Rows [agents, classes] of each, as it told last; there is one class unless draws are balanced."""
        return self.told[:, _FIXED:]

    @property
    def all_ended(self) -> bool:
        """Whether every agent has told that it has ended."""
        return bool(self.told[:, _ENDED].all())

    def _no_rows(self) -> Drawn:
        return Drawn(self.nothing, tuple(NONE for _ in self.settings.draws), NONE)

    # --- a step -----------------------------------------------------------------------------------

    def push(
        self,
        rows: Mapping[str, View] | None,
        ended: bool = False,
        edits: Mapping[str, View] | None = None,
    ) -> Asking[None]:
        """Draw for the next step from what all held one step ago, send what others draw, insert `rows`.

        Copies leave before anything is inserted. What was drawn before, and nobody has waited for, is lost.
        `edits`: columns of all rows that `wait` gave last, as they should be stored from now on: draws of the
        next push see them. Raises ReplayError, before anything has happened, for rows that are not as
        declared.
        """
        checked = None if rows is None else self.share.check(rows)
        changed = None if edits is None else self._checked_edits(edits)
        yield from self.settle()
        back = None if self.edits is None else self.edits.begin(changed)
        plan = draws(
            self.settings.seed, self.step, self.sizes, self._counts, self.agent,
            self.told[:, _ENDED], self.settings.balanced,
        )  # fmt: skip
        drawn, into = self._room(plan)
        out = self._copies(plan, drawn, into.pop(self.agent, self.nothing))
        if checked is not None:
            self.share.insert(checked)
        told = np.empty(self.told.shape[1], np.int64)
        told[_ENDED], told[_FIXED:] = ended, self.held()
        when = f"replay step {self.step}"
        self.step += 1
        if self.agents == 1:
            self.told[0], self._ready = told, drawn
            self._apply_edits()
            return
        self._ready, self._way = None, _Way(self.next_number(), when, drawn)
        yield Post(when, self._way.number, told, out, into, planned=True)
        if back is not None:
            yield Post(f"{when}, edits", self.next_number(), NONE, *back, planned=True)

    def wait(self) -> Asking[Drawn]:
        """What this agent drew at its last push: rows that belong to the caller. Nothing before the first.

        Raises ReplayError where nothing was pushed since the last time.
        """
        yield from self.settle()
        if self._ready is None:
            raise ReplayError(
                "`wait` should follow a `push`: rows are drawn by it, also where None are pushed."
                f" Found none since the last `wait`, at step {self.step}."
            )
        drawn, self._ready = self._ready, None
        return drawn

    def settle(self) -> Asking[None]:
        """Let what is under way arrive, and keep it for `wait`. Needed before `state`."""
        way, self._way = self._way, None
        if way is not None:
            taken: Taken = yield Take(way.when, way.number)
            self.told = taken.told
            self.late_s += taken.late_s
            self._ready = way.drawn
            if self.edits is not None:
                yield Take(f"{way.when}, edits", way.number + 1)
            self._apply_edits()

    def _apply_edits(self) -> None:
        if self.edits is not None:
            self.edits.apply()

    def _checked_edits(self, edits: Mapping[str, View]) -> dict[str, View]:
        if self.edits is None:
            raise ReplayError("Edits should be of columns that `edits` declares. Found none declared.")
        return self.edits.check(edits, waited=self._way is None and self._ready is None)

    def finish(self) -> Asking[None]:
        """Serve the others until all have ended. Each agent calls it once, as the last thing."""
        while not self.all_ended:
            yield from self.push(None, ended=True)
            yield from self.settle()

    def held(self) -> Indices:
        """Rows [classes] of this agent that are counted apart now."""
        return self.share.sizes() if self.settings.balanced else np.array([len(self.share)], np.int64)

    def next_number(self) -> int:
        """Of the next request that all agents make: they grow."""
        self._number += 1
        return self._number

    def _room(self, plan: Plan) -> tuple[Drawn, dict[int, Records]]:
        """Where this agent's rows will be, and the part of it that each owner fills."""
        rows = len(plan.owner)
        if not rows:
            return self._no_rows(), {}
        block = self.blocks.take()[:rows]
        into = {one: block[part] for one, part in spans(plan.owners, plan.came)}
        return Drawn(block, self._split(plan.arrival), plan.owner, in_order=len(into) == 1), into

    def _split(self, arrival: Indices) -> tuple[Indices, ...]:
        """The places of each draw, from those of all draws."""
        if len(self._counts) == 1:
            return (arrival,)
        total = int(self.sizes.sum())
        ends = [0, *accumulate(min(count, total) for count in self.settings.draws)]
        return tuple(arrival[first:last] for first, last in pairwise(ends))

    def _copies(self, plan: Plan, drawn: Drawn, own: Records) -> dict[int, Records]:
        """Copies of this agent's rows for all that drew them; its own go straight to where they will be."""
        slots = self.share.slots(plan.classes, plan.numbers)
        leave = len(slots) - len(own)
        if len(own):
            self.share.gather(slots[leave:], own)
        if self.edits is not None:
            reader = np.repeat(plan.readers, np.diff(plan.left, prepend=0))
            self.edits.lend(reader, slots, drawn)
        if leave > len(self._leaving):
            self._leaving = np.zeros(max(leave, 2 * len(self._leaving)), self._leaving.dtype)
        if leave:
            self.share.gather(slots[:leave], self._leaving[:leave])
        self.sent_rows += leave
        return {one: self._leaving[part] for one, part in spans(plan.readers, plan.left) if one != self.agent}

    # --- checkpoint -------------------------------------------------------------------------------

    def state(self) -> State:
        """Everything, the rows that were drawn and not waited for included. `settle` comes before."""
        return {**self.state_without_rows(), "share": self.share.state()}

    def state_without_rows(self) -> State:
        """The same without the share."""
        if self._way is not None:
            raise ReplayError(
                f"Rows should have arrived before a state is taken: {self._way.when} is under way."
            )
        ready = self._ready
        held: State = {} if ready is None else {"owner": ready.owner.copy(), "places": _joined(ready.places)}
        if ready is not None:
            held["rows"] = {name: ready.block[name].copy() for name in self.share.storage.type.names or ()}
        return {
            "step": self.step,
            "number": self._number,
            "told": self.told.copy(),
            "drawn": held,
            "edits": {} if self.edits is None else self.edits.state(),
            "counts": [] if ready is None else [len(part) for part in ready.places],
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned, or `state_without_rows`."""
        self.step, self._number = int(state["step"]), max(self._number, int(state["number"]))
        self.told = np.array(state["told"], np.int64)
        if "share" in state:
            self.share.load(state["share"])
        self._ready = self._drawn_of(state) if state["drawn"] else None
        if self.edits is not None:
            self.edits.load(state["edits"])

    def start_anew(self, step: int, told: Indices) -> None:
        """Go on at `step` with other shares, whose sizes all agents have told; nothing has been drawn."""
        self.step, self.told, self._ready = step, told, self._no_rows()
        if self.edits is not None:
            self.edits.start_anew()

    def _drawn_of(self, state: State) -> Drawn:
        held = state["drawn"]
        owner = np.array(held["owner"], np.int64)
        if not len(owner):
            return self._no_rows()
        block = self.blocks.take()[: len(owner)]
        for name, values in held["rows"].items():
            block[name] = values
        places = np.split(np.array(held["places"], np.int64), np.cumsum(state["counts"])[:-1])
        return Drawn(block, tuple(places), owner)


def _joined(parts: Iterable[Indices]) -> Indices:
    return np.concatenate([NONE, *parts])
