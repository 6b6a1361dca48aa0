"""When an agent learns, meets, evaluates and saves: computed from the experiment, never stored.

Schedule time is an exact fraction: task index + ticks done in the task / ticks of the task. Several
things can be due at one time; their phase orders them. Every agent follows this one order, so no
circle of waiting can form, whatever the lengths of the agents' tasks are (docs/design.md, "Time and order").

Inside a task all times are whole numbers of a unit that divides the ticks of all ends and the cuts, and a
moment is one number, 8 x time + phase. What is due is a few series of such numbers (`series.py`), in order.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from math import lcm
from typing import Any, NamedTuple

from mpidcl.network.schedule.series import Series, merged
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

PHASE = tuple(Phase)
PHASES = len(PHASE)


class Use(NamedTuple):
    """The part of a meeting that concerns one neighbour: the exchanges due, by number in the file."""

    neighbour: int
    exchanges: tuple[int, ...]


class Event(NamedTuple):
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
        if (one := self.series(task, ticks, ticks)) is None:
            return []
        keys = range(one.first, one.first + one.step * one.length, one.step)
        return [Moment(task + Fraction(key // PHASES, ticks), PHASE[key % PHASES]) for key in keys]

    def series(self, task: int, ticks: int, unit: int) -> Series | None:
        """The same as one series of moments inside a task that has `unit` parts, a multiple of `ticks`."""
        if (count := self.count(task, ticks)) == 0:
            return None
        if self.when.startswith("task"):
            return Series(_key(0, Phase.BEFORE) if self.when == "task start" else _key(unit, Phase.AFTER))
        step = (ticks if self.period is None else self.period) * (unit // ticks)
        first = _key(0, Phase.BEFORE) if self.when == "before" else _key(step, Phase.AFTER)
        return Series(first, PHASES * step, count)

    def count(self, task: int, ticks: int) -> int:
        """How many `moments` there are."""
        if ticks == 0 or task < self.from_task:
            return 0
        if self.when.startswith("task"):
            return int((task - self.from_task) % (self.period or 1) == 0)
        return 1 if self.period is None else ticks // self.period


def _key(time: int, phase: Phase) -> int:
    """A moment inside a task as one number, in the order of moments."""
    return PHASES * time + phase


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
        for task in range(max(0, int(after.time) - 1), self.tasks):
            if task >= self.end:
                return
            yield from self._events_of(task, after)

    def _ticks(self, agent: int, task: int) -> int:
        row = self.ticks[agent]
        return row[task] if task < len(row) else 0

    def _events_of(self, task: int, after: Moment) -> Iterator[Event]:
        ticks, unit = self._ticks(self.agent, task), self._unit(task)
        series = [*self._own(task, unit), *self._cuts(task, unit)]
        own = len(series)
        due = self._meetings(task, unit, self.topology.neighbours(self.agent))
        series += [one for one, _, _ in due]
        uses: dict[tuple[int, ...], tuple[Use, ...]] = {}
        first, base = _above(after, task, unit), task * unit
        for key, places in merged(series, first, _above(Moment(self.end, Phase.CUT), task, unit)):
            time, number = divmod(key, PHASES)
            moment = Moment(Fraction(base + time, unit), PHASE[number])
            if places[0] < own:
                yield Event(moment, task, 0 if number == Phase.CUT else time * ticks // unit)
                continue
            if places not in uses:
                uses[places] = _uses([due[place - own] for place in places])
            yield Event(moment, task, time * ticks // unit, uses[places])

    def _unit(self, task: int) -> int:
        """Into how many parts a task is divided so that everything in it is at a whole number of them."""
        ends = (self.agent, *self.topology.neighbours(self.agent))
        ticks = {self._ticks(agent, task) for agent in ends} - {0}
        return lcm(*ticks, *(time.denominator for time in (self.cut_every, self.end, *self.cuts)))

    def _own(self, task: int, unit: int) -> Iterator[Series]:
        if task >= len(self.ticks[self.agent]):
            return
        yield Series(_key(0, Phase.BEGIN_TASK))
        yield Series(_key(unit, Phase.END_TASK))
        if ticks := self._ticks(self.agent, task):
            step = unit // ticks
            yield Series(_key(step, Phase.LEARN), PHASES * step, ticks)
            yield Series(_key(unit, Phase.EVALUATE))
            if (every := self.evaluate_every) is not None:
                yield Series(_key(0, Phase.EVALUATE_START))
                yield Series(_key(step, Phase.EVALUATE), PHASES * step * every, (ticks - 1) // every + 1)

    def _cuts(self, task: int, unit: int) -> Iterator[Series]:
        def place(time: Fraction) -> int:
            return int((time - task) * unit)

        if task < self.end <= task + 1:
            yield Series(_key(place(self.end), Phase.CUT))
        if not any(self._ticks(agent, task) for agent in range(len(self.ticks))):
            return
        # a cut so close before the end would have the end's number, and its files (record.manifest)
        last = min(Fraction(task + 1), self.end - SHORTEST_CUT)
        number = task // self.cut_every + 1
        count = last // self.cut_every - number + 1
        if count > 0:
            step = PHASES * int(self.cut_every * unit)
            yield Series(_key(place(number * self.cut_every), Phase.CUT), step, count)
        yield from (Series(_key(place(time), Phase.CUT)) for time in self.cuts if task < time <= last)

    def _meetings(self, task: int, unit: int, neighbours: Iterable[int]) -> list[Due]:
        """When which exchange is due with which neighbours: when either end of a link says so."""
        mine = self._ticks(self.agent, task)
        found = []
        for number, rule in enumerate(self.rhythms):
            those = [other for other in neighbours if other in self._linked[number]]
            by_ticks = defaultdict(list)
            for other in those:
                by_ticks[self._ticks(other, task)].append(other)
            by_ticks[mine] = those
            for ticks, others in by_ticks.items():
                if others and (one := rule.series(task, ticks, unit)) is not None:
                    found.append((one, number, others))
        return found

    @cached_property
    def _linked(self) -> list[set[int]]:
        """For each exchange the neighbours with a link, one way or the other, that it uses."""
        return [set(self.users(number)) for number in range(len(self.rhythms))]

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
            unit = lcm(*({self._ticks(self.agent, task), self._ticks(neighbour, task)} - {0}))
            due = self._meetings(task, unit, [neighbour])
            for key, places in merged([one for one, _, _ in due], -1, PHASES * (unit + 1)):
                time, phase = divmod(key, PHASES)
                exchanges = tuple(sorted({due[place][1] for place in places}))
                yield f"{task + Fraction(time, unit)} {PHASE[phase].name} {exchanges}"

    def expected_hash(self, neighbour: int) -> str:
        """sha256 over what determines `expected`, with which both ends must agree: ticks and rhythms."""
        rows = sorted([*self.ticks[end]] for end in (self.agent, neighbour))
        rules = [
            (number, rule.when, rule.period, rule.from_task)
            for number, rule in enumerate(self.rhythms)
            if neighbour in self._linked[number]
        ]
        return sha256(json.dumps([rows, rules]).encode()).hexdigest()


Due = tuple[Series, int, list[int]]
"""When an exchange is due, its number, and with which neighbours."""


def _above(moment: Moment, task: int, unit: int) -> int:
    """The number inside a task above which everything is later than `moment`, and up to which it is not."""
    time = (moment.time - task) * unit
    whole = time.numerator // time.denominator
    return _key(whole, moment.phase) if time == whole else _key(whole + 1, Phase.LEARN) - 1


def _uses(due: list[Due]) -> tuple[Use, ...]:
    """What several exchanges that are due at one moment mean for each neighbour."""
    found: dict[int, set[int]] = defaultdict(set)
    for _, number, others in due:
        for other in others:
            found[other].add(number)
    return tuple(Use(other, tuple(sorted(numbers))) for other, numbers in sorted(found.items()))
