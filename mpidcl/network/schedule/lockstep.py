"""The clock `lockstep`: virtual time without chance, in which a meeting has one time for all who take part.

Schedule time is an exact fraction: task index + ticks done in the task / ticks of the task. Every agent
follows one order, so no circle of waiting can form, whatever the lengths of the agents' tasks are
(docs/design.md, "Time and order").

Inside a task all times are whole numbers of a unit that divides the ticks of all ends and the cuts, and a
moment is one number, 8 x time + phase. What is due is a few series of such numbers (`series.py`), in order.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from math import lcm
from typing import TYPE_CHECKING, ClassVar

from mpidcl.network.schedule.clock import Clock
from mpidcl.network.schedule.in_tasks import InTasks
from mpidcl.network.schedule.series import Series, merged
from mpidcl.network.schedule.timetable import (
    PHASE,
    PHASES,
    START,
    Event,
    Moment,
    Phase,
    Rhythm,
    Use,
    key,
)

if TYPE_CHECKING:
    from mpidcl.network.schedule.topology import Topology


class Lockstep(Clock):
    """All tasks begin together; within a task each agent ticks at its own pace, and meetings wait."""

    name: ClassVar[str] = "lockstep"

    def timetable(
        self,
        *,
        agent: int,
        topology: Topology,
        rhythms: tuple[Rhythm, ...],
        ticks: Sequence[Sequence[int]],
        evaluate_every: int | Fraction | None,
        cut_every: Fraction | None,
        until: Fraction | None = None,
    ) -> LockstepTimetable:
        """The timetable of one agent; schedule time is counted in tasks."""
        assert not isinstance(evaluate_every, Fraction)  # it has no unit of time
        every = Fraction(max(map(len, ticks))) if cut_every is None else cut_every
        return LockstepTimetable(agent, topology, rhythms, ticks, evaluate_every, every, until)


@dataclass(frozen=True)
class LockstepTimetable(InTasks):
    """The events of one agent.

    A meeting is due when it is due for either end, and an agent whose tasks are done stays and answers until
    nobody needs it.
    """

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
        for number, places in merged(series, first, _above(Moment(self.end, Phase.CUT), task, unit)):
            time, phase = divmod(number, PHASES)
            moment = Moment(Fraction(base + time, unit), PHASE[phase])
            if places[0] < own:
                yield Event(moment, task, 0 if phase == Phase.CUT else time * ticks // unit)
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
        yield Series(key(0, Phase.BEGIN_TASK))
        yield Series(key(unit, Phase.END_TASK))
        if ticks := self._ticks(self.agent, task):
            step = unit // ticks
            yield Series(key(step, Phase.LEARN), PHASES * step, ticks)
            yield Series(key(unit, Phase.EVALUATE))
            if (every := self.evaluate_every) is not None:
                yield Series(key(0, Phase.EVALUATE_START))
                yield Series(key(step, Phase.EVALUATE), PHASES * step * every, (ticks - 1) // every + 1)

    def _cuts(self, task: int, unit: int) -> Iterator[Series]:
        def place(time: Fraction) -> int:
            return int((time - task) * unit)

        if task < self.end <= task + 1:
            yield Series(key(place(self.end), Phase.CUT))
        if not any(self._ticks(agent, task) for agent in range(len(self.ticks))):
            return
        # none is left out, however close to the end: an agent may have passed it before all agreed to end
        last = min(Fraction(task + 1), self.end)
        number = task // self.cut_every + 1
        count = last // self.cut_every - number + 1
        if count > 0:
            step = PHASES * int(self.cut_every * unit)
            yield Series(key(place(number * self.cut_every), Phase.CUT), step, count)
        yield from (Series(key(place(time), Phase.CUT)) for time in self.cuts if task < time <= last)

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

    def meetings_of(self, number: int) -> set[int]:
        """In how many meetings of each agent exchange `number` takes part; equal agents are counted once."""
        found: dict[object, int] = {}
        for agent in range(len(self.ticks)):
            one = replace(self, agent=agent)
            around = frozenset(id(self.ticks[other]) for other in one.users(number))
            same = id(self.ticks[agent]), around
            if same not in found:
                found[same] = one.count(number)
        return set(found.values())

    def count(self, number: int) -> int:
        """In how many meetings of this agent exchange `number` takes part; nothing of it is stored."""
        around = {id(self.ticks[other]): self.ticks[other] for other in self.users(number)}
        rows = [self.ticks[self.agent], *around.values()] if around else []
        return sum(
            _count(self.rhythms[number], task, {row[task] for row in rows if task < len(row)} - {0})
            for task in range(self.tasks)
        )

    def users(self, number: int) -> list[int]:
        """Neighbours with a link, one way or the other, that exchange `number` uses."""
        return self.topology.users(self.agent, self.rhythms[number].links)

    def expected(self, neighbour: int) -> Iterator[str]:
        """What this end expects to happen between it and a neighbour, one line per use."""
        for task in range(self.tasks):
            unit = lcm(*({self._ticks(self.agent, task), self._ticks(neighbour, task)} - {0}))
            due = self._meetings(task, unit, [neighbour])
            for number, places in merged([one for one, _, _ in due], -1, PHASES * (unit + 1)):
                time, phase = divmod(number, PHASES)
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
    time = (moment.exact - task) * unit
    whole = time.numerator // time.denominator
    return key(whole, moment.phase) if time == whole else key(whole + 1, Phase.LEARN) - 1


def _count(rule: Rhythm, task: int, ticks: set[int]) -> int:
    """At how many moments an exchange is due in a task for ends with these ticks."""
    if len(ticks) == 1:
        return rule.count(task, *ticks)
    unit = lcm(*ticks)
    series = [one for each in ticks if (one := rule.series(task, each, unit)) is not None]
    return sum(1 for _ in merged(series, -1, PHASES * (unit + 1)))


def _uses(due: list[Due]) -> tuple[Use, ...]:
    """What several exchanges that are due at one moment mean for each neighbour."""
    found: dict[int, set[int]] = defaultdict(set)
    for _, number, others in due:
        for other in others:
            found[other].add(number)
    return tuple(Use(other, tuple(sorted(numbers))) for other, numbers in sorted(found.items()))
