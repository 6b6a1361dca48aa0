"""What an agent does when: moments, events, the rhythm of an exchange, and what a timetable must say.

Which events there are and in which order is for a clock to say (`clock.py`); `lockstep.py` is the one that
comes with mpidcl. Several things can be due at one schedule time; their phase orders them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

from mpidcl.experiment.sections import ExchangeTable
from mpidcl.network.schedule.series import Series


class Phase(IntEnum):
    """Order of what is due at one schedule time. Up to CUT it belongs to what ends there."""

    ARRIVE = 0
    LEARN = 1
    AFTER = 2
    END_TASK = 3
    EVALUATE = 4
    CUT = 5
    BEGIN_TASK = 6
    BEFORE = 7
    EVALUATE_START = 8


class Moment(NamedTuple):
    """A point of the schedule: an exact fraction in all cuts, and where a clock has no use for floats."""

    time: Fraction | float
    phase: Phase

    @property
    def exact(self) -> Fraction:
        """The time as a fraction."""
        return Fraction(self.time)

    def __str__(self) -> str:
        return f"time {float(self.time):g} ({self.phase.name.lower().replace('_', ' ')})"


SHORTEST_CUT = Fraction(1, 1000)
"""Agents agree on cuts at multiples of this, and scheduled ones are at least so far apart."""

START = Moment(Fraction(-1), Phase.ARRIVE)
"""Before everything."""

PHASE = tuple(Phase)
PHASES = len(PHASE)


class Use(NamedTuple):
    """The part of a meeting that concerns one neighbour: the exchanges due, by number in the file."""

    neighbour: int
    exchanges: tuple[int, ...]


class Due(NamedTuple):
    """The next `frames` frames of a neighbour, which an agent waits for, under a clock that sends by mail."""

    neighbour: int
    frames: int


class Event(NamedTuple):
    """One thing that an agent does. `task` and `tick` say where it stands (ticks done).

    `uses`: what it sends, or in `lockstep` exchanges, to whom; `due`: what it waits for.
    """

    moment: Moment
    task: int
    tick: int
    uses: tuple[Use, ...] = ()
    due: tuple[Due, ...] = ()


class Timetable(Protocol):
    """The events of one agent in order. Nothing of it is stored, however many there are.

    Times are schedule time: what that is, tasks or seconds, is for the clock to say.
    """

    @property
    def tasks(self) -> int:
        """Number of tasks of the agent that has the most."""

    @property
    def end(self) -> Fraction:
        """The time at which the run, or this part of it, is over; the same for all agents."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do after `end`."""

    def events(self, after: Moment = START) -> Iterator[Event]:
        """Everything after `after` up to the cut at `end`, in order; to begin late costs nothing."""

    def done(self, event: Event) -> float:
        """How many of `tasks` are done once `event` is, parts of one included."""

    def with_cuts(self, cuts: tuple[Fraction, ...], until: Fraction | None) -> Timetable:
        """The same with further cuts at these times, and up to `until` (None: to the same end as before)."""

    def meetings_of(self, number: int) -> set[int]:
        """In how many meetings of each agent exchange `number` takes part: the counts that occur."""

    def expected_hash(self, neighbour: int) -> str:
        """A hash of what *determines* the meetings with a neighbour, at most as long as the tasks are many.

        Both ends compare it at the start. Where it differs they compare `expected`: rules may differ and mean
        the same.
        """

    def expected(self, neighbour: int) -> Iterator[str]:
        """The meetings with a neighbour, one line each, the same at both ends. Told after a mismatch only."""


class Chance(NamedTuple):
    """By chance an exchange, by its number in the file, is due at this share of the ticks of an agent."""

    share: float
    exchange: int


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When one `[[exchange]]` is due.

    `period` counts tasks for "task start" and "task end", else ticks (None: once per task). `seconds`, of
    virtual time, stands in the place of a period under a clock that has such a time. `legs`: messages of the
    exchange from the first to its last answer. `chance`: of the ticks at which it would be due
    only those that `schedule.chance` draws.
    """

    when: str
    period: int | None
    from_task: int
    links: str
    seconds: float | None = None
    legs: int = 1
    chance: Chance | None = None

    def moments(self, task: int, ticks: int) -> list[Moment]:
        """When it is due in a task of so many ticks. A partial last chunk has no exchange.

        Before each chunk of 5 ticks, in task 1 that has 12 of them:

        >>> for moment in Rhythm("before", period=5, from_task=1, links="all").moments(1, ticks=12):
        ...     print(moment)
        time 1 (before)
        time 1.41667 (before)
        """
        if (one := self.series(task, ticks, ticks)) is None:
            return []
        keys = range(one.first, one.first + one.step * one.length, one.step)
        return [Moment(task + Fraction(key // PHASES, ticks), PHASE[key % PHASES]) for key in keys]

    def series(self, task: int, ticks: int, unit: int) -> Series | None:
        """The same as one series of moments inside a task that has `unit` parts, a multiple of `ticks`."""
        if (count := self.count(task, ticks)) == 0:
            return None
        if self.when.startswith("task"):
            return Series(key(0, Phase.BEFORE) if self.when == "task start" else key(unit, Phase.AFTER))
        step = (ticks if self.period is None else self.period) * (unit // ticks)
        first = key(0, Phase.BEFORE) if self.when == "before" else key(step, Phase.AFTER)
        return Series(first, PHASES * step, count)

    def due(self, task: Any, done: Any, ticks: Any) -> Any:
        """Whether it is due after `done` of the `ticks` of a task: of numbers, or of arrays of them.

        Without `seconds` and `chance`, and not before a chunk or a task.

        >>> rule = Rhythm("after", period=5, from_task=1, links="all")
        >>> rule.due(1, 5, 12), rule.due(1, 12, 12), rule.due(0, 5, 12)
        (True, False, False)
        """
        begun = task >= self.from_task
        if self.when.startswith("task"):
            return begun & (done == ticks) & ((task - self.from_task) % (self.period or 1) == 0)
        return begun & (done == ticks if self.period is None else done % self.period == 0)

    def count(self, task: int, ticks: int) -> int:
        """How many `moments` there are."""
        if ticks == 0 or task < self.from_task:
            return 0
        if self.when.startswith("task"):
            return int((task - self.from_task) % (self.period or 1) == 0)
        return 1 if self.period is None else ticks // self.period


def key(time: int, phase: Phase) -> int:
    """A moment inside a task as one number, in the order of moments."""
    return PHASES * time + phase


def rhythm(table: ExchangeTable, first_task: int, legs: int = 1, number: int = 0) -> Rhythm:
    """The rhythm of `[[exchange]]` table `number`; `first_task` is used when it names none."""
    first = first_task if table.from_task is None else table.from_task
    if table.share is not None:
        chance = Chance(table.share, number)
        return Rhythm(table.when, 1, first, table.links, legs=legs, chance=chance)
    every = table.every
    counts = every.unit in ("epoch", "tick") or table.when.startswith("task")
    return Rhythm(table.when, every.count if counts else None, first, table.links, every.seconds, legs)
