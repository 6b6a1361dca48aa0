"""When an agent learns, meets, evaluates and saves: computed from the experiment, never stored whole.

Schedule time is an exact fraction: task index + ticks done in the task / ticks of the task. Several
things can be due at one time; their phase orders them. Every agent follows this one order, so no
circle of waiting can form, whatever the lengths of the agents' tasks are (design 5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from hashlib import sha256
from typing import Any, NamedTuple

from mpidcl.network.schedule.topology import Topology


class Phase(IntEnum):
    """Order of what is due at one schedule time. Up to CUT it belongs to what ends there."""

    LEARN = 0
    AFTER = 1
    END_TASK = 2
    EVALUATE = 3
    CUT = 4
    BEGIN_TASK = 5
    BEFORE = 6
    EVALUATE_START = 7


class Moment(NamedTuple):
    """A point of the schedule."""

    time: Fraction
    phase: Phase

    def __str__(self) -> str:
        return f"time {float(self.time):g} ({self.phase.name.lower().replace('_', ' ')})"


SHORTEST_CUT = Fraction(1, 1000)
"""The least time between two cuts, in tasks."""

START = Moment(Fraction(-1), Phase.LEARN)
"""Before everything."""


class Use(NamedTuple):
    """The part of a meeting that concerns one neighbour: the exchanges due, by number in the file."""

    neighbour: int
    exchanges: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that an agent does. `task` and `tick` say where it stands (ticks done)."""

    moment: Moment
    task: int
    tick: int
    uses: tuple[Use, ...] = ()


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When one `[[exchange]]` is due.

    `period` counts tasks for "task start" and "task end", else ticks (None: once per task).
    """

    when: str
    period: int | None
    from_task: int
    links: str

    def moments(self, task: int, ticks: int) -> list[Moment]:
        """When it is due in a task of so many ticks. A partial last chunk has no exchange.

        Before each chunk of 5 ticks, in task 1 that has 12 of them:

        >>> for moment in Rhythm("before", period=5, from_task=1, links="all").moments(1, ticks=12):
        ...     print(moment)
        time 1 (before)
        time 1.41667 (before)
        """
        if ticks == 0 or task < self.from_task:
            return []
        if self.when.startswith("task"):
            if (task - self.from_task) % (self.period or 1):
                return []
            return [Moment(Fraction(task), Phase.BEFORE)] if self.when == "task start" else [_end(task)]
        period = ticks if self.period is None else self.period
        chunks = range(ticks // period)
        if self.when == "before":
            return [Moment(task + Fraction(c * period, ticks), Phase.BEFORE) for c in chunks]
        return [Moment(task + Fraction((c + 1) * period, ticks), Phase.AFTER) for c in chunks]

    def count(self, task: int, ticks: int) -> int:
        """How many `moments` there are."""
        if ticks == 0 or task < self.from_task:
            return 0
        if self.when.startswith("task"):
            return int((task - self.from_task) % (self.period or 1) == 0)
        return 1 if self.period is None else ticks // self.period


def _end(task: int) -> Moment:
    return Moment(Fraction(task + 1), Phase.AFTER)


def rhythm(table: Any, first_task: int) -> Rhythm:
    """The rhythm of one `[[exchange]]` table; `first_task` is used when it names none."""
    every, start = table.every, table.from_task
    period = every.count if every.unit != "task" or table.when.startswith("task") else None
    return Rhythm(table.when, period, first_task if start is None else start, table.links)


@dataclass(frozen=True)
class Timetable:
    """The events of one agent.

    `ticks[a]` are the ticks per task of agent a, for every agent: a meeting is due when it is due for
    either end, and an agent whose tasks are done stays and answers until nobody needs it.
    `evaluate_every` is in ticks, None: only at the end of a task; `cut_every` is in tasks; `cuts` are further
    ones. Cuts are the same for all agents.
    """

    agent: int
    topology: Topology
    rhythms: tuple[Rhythm, ...]
    ticks: Sequence[Sequence[int]]
    evaluate_every: int | None
    cut_every: Fraction
    until: Fraction | None = None
    cuts: tuple[Fraction, ...] = ()

    @property
    def tasks(self) -> int:
        """Number of tasks of the agent that has the most."""
        return max((len(row) for row in self.ticks), default=0)

    @property
    def end(self) -> Fraction:
        """The time at which the run, or this part of it (`until`), is over."""
        return Fraction(self.tasks) if self.until is None else min(Fraction(self.tasks), self.until)

    def __iter__(self) -> Iterator[Event]:
        return self.events()

    def events(self, after: Moment = START) -> Iterator[Event]:
        """Everything after `after` and up to the last cut, in order."""
        last = Moment(self.end, Phase.CUT)
        for task in range(max(0, int(after.time) - 1), self.tasks):
            for event in sorted(self._events_of(task), key=lambda e: e.moment):
                if event.moment > last:
                    return
                if event.moment > after:
                    yield event

    def _ticks(self, agent: int, task: int) -> int:
        row = self.ticks[agent]
        return row[task] if task < len(row) else 0

    def _events_of(self, task: int) -> Iterator[Event]:
        yield from self._own(task)
        yield from self._cuts(task)
        ticks = self._ticks(self.agent, task)
        for moment, uses in self.meetings(task).items():
            done = int((moment.time - task) * ticks)
            yield Event(moment, task, done, uses)

    def _own(self, task: int) -> Iterator[Event]:
        if task >= len(self.ticks[self.agent]):
            return
        ticks = self._ticks(self.agent, task)
        yield Event(Moment(Fraction(task), Phase.BEGIN_TASK), task, 0)
        every = self.evaluate_every
        if ticks and every is not None:
            yield Event(Moment(Fraction(task), Phase.EVALUATE_START), task, 0)
        for done in range(1, ticks + 1):
            time = task + Fraction(done, ticks)
            yield Event(Moment(time, Phase.LEARN), task, done)
            if done == ticks or (every is not None and (done - 1) % every == 0):
                yield Event(Moment(time, Phase.EVALUATE), task, done)
        yield Event(Moment(Fraction(task + 1), Phase.END_TASK), task, ticks)

    def _cuts(self, task: int) -> Iterator[Event]:
        number = task // self.cut_every + 1
        times = set()
        while number * self.cut_every <= task + 1:
            times.add(number * self.cut_every)
            number += 1
        times |= {time for time in (*self.cuts, self.end) if task < time <= task + 1}
        anybody = any(self._ticks(agent, task) for agent in range(len(self.ticks)))
        for time in times:
            # a cut so close before the end would have the end's number, and its files (record.manifest)
            if time == self.end or (anybody and self.end - time >= SHORTEST_CUT):
                yield Event(Moment(time, Phase.CUT), task, 0)

    def meetings(self, task: int) -> dict[Moment, tuple[Use, ...]]:
        """The agent's meetings of one task: moment -> uses in order of neighbour."""
        return self._meetings(task, self.topology.neighbours(self.agent))

    def _meetings(self, task: int, neighbours: Iterable[int]) -> dict[Moment, tuple[Use, ...]]:
        found: dict[Moment, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for neighbour in neighbours:
            for number in range(len(self.rhythms)):
                for moment in self._due(task, neighbour, number):
                    found[moment][neighbour].add(number)
        return {
            moment: tuple(Use(neighbour, tuple(sorted(due))) for neighbour, due in sorted(uses.items()))
            for moment, uses in found.items()
        }

    def _due(self, task: int, neighbour: int, number: int) -> set[Moment]:
        """When exchange `number` is due between this agent and a neighbour: when either end says so."""
        rule = self.rhythms[number]
        links = (
            self.topology.outgoing[self.agent].get(neighbour),
            self.topology.incoming[self.agent].get(neighbour),
        )
        if not any(link is not None and link.in_class(rule.links) for link in links):
            return set()
        ends = {self._ticks(self.agent, task), self._ticks(neighbour, task)}
        return {moment for ticks in ends for moment in rule.moments(task, ticks)}

    def count(self, number: int) -> int:
        """In how many meetings of this agent exchange `number` takes part; listed only where ticks differ."""
        around = {id(self.ticks[other]): self.ticks[other] for other in self.users(number)}
        rows = [self.ticks[self.agent], *around.values()] if around else []
        return sum(
            self._count(self.rhythms[number], task, {row[task] for row in rows if task < len(row)} - {0})
            for task in range(self.tasks)
        )

    @staticmethod
    def _count(rule: Rhythm, task: int, ticks: set[int]) -> int:
        if len(ticks) > 1:
            return len({moment for one in ticks for moment in rule.moments(task, one)})
        return sum(rule.count(task, one) for one in ticks)

    def users(self, number: int) -> list[int]:
        """Neighbours with a link, one way or the other, that exchange `number` uses."""
        wanted = self.rhythms[number].links
        out, back = self.topology.outgoing[self.agent], self.topology.incoming[self.agent]
        used = [link.target for link in out.values() if link.in_class(wanted)]
        return used + [link.source for link in back.values() if link.in_class(wanted)]

    def expected(self, neighbour: int) -> Iterator[str]:
        """What this end expects to happen between it and a neighbour, one line per use."""
        for task in range(self.tasks):
            for moment, uses in sorted(self._meetings(task, [neighbour]).items()):
                yield f"{moment.time} {moment.phase.name} {uses[0].exchanges}"

    def expected_hash(self, neighbour: int) -> str:
        """sha256 over `expected`: both ends of a pair must compute the same."""
        digest = sha256()
        for line in self.expected(neighbour):
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()
