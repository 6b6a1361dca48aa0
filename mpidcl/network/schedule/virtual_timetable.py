"""The events of one agent under the clock `virtual`: what it waits for, and what it sends, at its ticks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from heapq import merge
from itertools import count, groupby, islice, takewhile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mpidcl.network.frames.conditions import shortest_way
from mpidcl.network.schedule.ticks import Seconds as Times
from mpidcl.network.schedule.timetable import (
    START,
    Due,
    Event,
    Moment,
    Phase,
    Rhythm,
    Use,
)
from mpidcl.network.schedule.uses import Uses

if TYPE_CHECKING:
    from mpidcl.network.schedule.topology import Link, Topology
    from mpidcl.network.schedule.virtual import Virtual


class Fixed(NamedTuple):
    """Something that is due at one time for all agents: the greatest float up to it, its phase and moment."""

    time: float
    phase: Phase
    moment: Moment


@dataclass(frozen=True, eq=False)
class VirtualTimetable:
    """The events of one agent. Times are seconds of virtual time.

    `rows[a]` are the ticks per task of agent a; an agent that has learned its tasks ticks on, and shares,
    until `last`, when all have. `cut_every`: seconds between cuts; None: none but the one at the end.
    `evaluate_every`: ticks of a task, or, as a fraction, seconds; its last tick is followed by one anyhow.
    """

    clock: Virtual
    agent: int
    topology: Topology
    rhythms: tuple[Rhythm, ...]
    rows: Sequence[Sequence[int]]
    evaluate_every: int | Fraction | None
    cut_every: Fraction | None
    last: Fraction
    until: Fraction | None = None
    cuts: tuple[Fraction, ...] = ()

    @property
    def tasks(self) -> int:
        """Number of tasks of the agent that has the most."""
        return max((len(row) for row in self.rows), default=0)

    @property
    def end(self) -> Fraction:
        """The time at which the run, or this part of it (`until`), is over."""
        return self.last if self.until is None else min(self.last, self.until)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do after `end`."""
        return self.end >= self.last

    def done(self, event: Event) -> float:
        """How many of its tasks this agent has learned, parts of one included."""
        row = self.rows[self.agent]
        return event.task + (event.tick / row[event.task] if row and row[event.task] else 0.0)

    def with_cuts(self, cuts: tuple[Fraction, ...], until: Fraction | None) -> VirtualTimetable:
        """The same with these further cuts, and up to `until` (None: to the same end as before)."""
        return replace(self, cuts=cuts, until=self.until if until is None else until)

    # --- events -----------------------------------------------------------------------------------

    def events(self, after: Moment = START) -> Iterator[Event]:
        """Everything after `after` and up to the last cut, in order."""
        begin = float_up_to(after.time)
        got = [self._got(uses, begin) for _, uses, _ in self._sources]
        fixed = self._fixed(after)
        coming = next(fixed, None)
        for event, left in self._own(after, begin):
            while coming is not None and (coming.time, coming.phase) <= event.moment:
                if (coming.time, coming.phase) != event.moment:
                    yield self._at(coming, got)
                coming = next(fixed, None)
            if coming is None:
                return
            yield event._replace(due=self._due(left, got)) if left else event
        while coming is not None:
            yield self._at(coming, got)
            coming = next(fixed, None)

    def _at(self, fixed: Fixed, got: list[int]) -> Event:
        """An evaluation, or a cut, before which everything that has left is waited for."""
        due: tuple[Due, ...] = ()
        if fixed.phase is Phase.CUT:
            due = self._due([self._got(uses, fixed.time) for _, uses, _ in self._sources], got)
        return Event(fixed.moment, *self._stands(fixed.time), due=due)

    def _due(self, left: list[int], got: list[int]) -> tuple[Due, ...]:
        """Of so many frames of each source those that were not waited for before, which `got` counts."""
        found = []
        for place, (number, before) in enumerate(zip(left, got, strict=True)):
            if number > before:
                found.append(Due(self._sources[place][0], number - before))
                got[place] = number
        return tuple(found)

    @staticmethod
    def _got(uses: Uses, cut: float) -> int:
        """How many frames have left at or before a cut."""
        return int(uses.counts(np.array([cut]), 0.0, True)[0]) if cut >= 0 else 0

    def _fixed(self, after: Moment) -> Iterator[Fixed]:
        """Cuts and evaluations of all agents after a moment, in order, up to the cut at the end."""
        cuts = merge(sorted(self.cuts), self._multiples(self.cut_every, after.time), (self.end,))
        every = self.evaluate_every if isinstance(self.evaluate_every, Fraction) else None
        evaluations = self._multiples(every, after.time)
        both = merge(
            (Moment(time, Phase.CUT) for time in takewhile(lambda time: time <= self.end, cuts)),
            (Moment(time, Phase.EVALUATE) for time in evaluations),
        )
        for moment, _ in groupby(both):
            if moment > after:
                yield Fixed(float_up_to(moment.time), moment.phase, moment)

    def _multiples(self, every: Fraction | None, time: Fraction | float) -> Iterator[Fraction]:
        """Multiples of `every` from one at or before `time` on, up to the end."""
        if every is None:
            return iter(())
        first = max(1, math.floor(Fraction(time) / every))
        return takewhile(lambda one: one <= self.end, (number * every for number in count(first)))

    def _own(self, after: Moment, begin: float) -> Iterator[tuple[Event, list[int]]]:
        """Begin and end of tasks, ticks and what goes with them, up to the end.

        With the arrival of a tick: how many frames of each source must have been waited for since the start.
        """
        last = (begin, after.phase)
        for event, left in self._all_own(begin):
            if event.moment.time > begin or event.moment > last:
                yield event, left

    def _all_own(self, begin: float) -> Iterator[tuple[Event, list[int]]]:
        """The same from a time before `begin` on."""
        row, uses, end = self.rows[self.agent], self._mine, float_up_to(self.end)
        for event in self._begin(0, 0.0):
            yield event, []
        for window in count(uses.ticks.at(begin) if begin > 0 else 0):
            times, tasks, done, due = uses.due(window)
            codes = (due * (1 << np.arange(len(due)))[:, None]).sum(0)
            skipped = int(np.searchsorted(times, begin))
            columns = (times.tolist(), tasks.tolist(), done.tolist(), codes.tolist(), self._left(times))
            for time, task, tick, code, left in islice(zip(*columns, strict=True), skipped, None):
                if time > end:
                    return
                if self._sources:
                    yield Event(Moment(time, Phase.ARRIVE), *self._where(task, tick)), left
                for event in self._tick(time, task, tick, code):
                    yield event, []
                if task < len(row) and tick == row[task]:
                    for event in self._close(time, task, tick):
                        yield event, []

    def _left(self, times: Times) -> list[list[int]]:
        """At each tick [n] how many frames of each source must have been waited for."""
        if not self._sources:
            return [[]] * len(times)
        found = [uses.counts(times, least, other < self.agent) for other, uses, least in self._sources]
        columns: list[list[int]] = np.array(found).T.tolist()
        return columns

    def _stands(self, time: float) -> tuple[int, int]:
        """Where it stands at a time."""
        uses = self._mine
        task, tick = uses.stages.of(np.array([uses.ticks.until(time)]))
        return self._where(int(task[0]), int(tick[0]))

    def _where(self, task: int, tick: int) -> tuple[int, int]:
        """Where it stands: when all is learned, at the end of its last task."""
        row = self.rows[self.agent]
        return (task, tick) if task < len(row) else (max(0, len(row) - 1), row[-1] if row else 0)

    def _tick(self, time: float, task: int, tick: int, code: int) -> Iterator[Event]:
        row, every = self.rows[self.agent], self.evaluate_every
        learning = task < len(row)
        if learning:
            yield Event(Moment(time, Phase.LEARN), task, tick)
        if uses := self._uses_at(code):
            yield Event(Moment(time, Phase.AFTER), *self._where(task, tick), uses)
        if learning and isinstance(every, int) and (tick - 1) % every == 0 and tick != row[task]:
            yield Event(Moment(time, Phase.EVALUATE), task, tick)

    def _close(self, time: float, task: int, tick: int) -> Iterator[Event]:
        """The end of a task that has ticks, and the begin of the next one."""
        yield Event(Moment(time, Phase.END_TASK), task, tick)
        yield Event(Moment(time, Phase.EVALUATE), task, tick)
        yield from self._begin(task + 1, time)

    def _begin(self, task: int, time: float) -> Iterator[Event]:
        """The begin of a task at `time`. Those without ticks pass in the next instants."""
        row = self.rows[self.agent]
        while task < len(row):
            yield Event(Moment(time, Phase.BEGIN_TASK), task, 0)
            if row[task]:
                if self.evaluate_every is not None:
                    yield Event(Moment(time, Phase.EVALUATE_START), task, 0)
                return
            time = math.nextafter(time, math.inf)
            yield Event(Moment(time, Phase.END_TASK), task, 0)
            task += 1

    # --- links ------------------------------------------------------------------------------------

    def _rules(self, link: Link) -> tuple[Rhythm, ...]:
        return tuple(rule for rule in self.rhythms if link.in_class(rule.links))

    @cached_property
    def _mine(self) -> Uses:
        return self.clock.uses_of(self.agent, self.rows[self.agent], self.rhythms)

    @cached_property
    def _sources(self) -> list[tuple[int, Uses, float]]:
        """Agents from which frames come: when they leave, and the shortest way of one."""
        found = []
        for other, link in self.topology.incoming(self.agent).items():
            if rules := self._rules(link):
                found.append((other, self.clock.uses_of(other, self.rows[other], rules), shortest_way(link)))
        return found

    @cached_property
    def _known_uses(self) -> dict[int, tuple[Use, ...]]:
        return {}

    def _uses_at(self, code: int) -> tuple[Use, ...]:
        """Which neighbours get a frame, and the exchanges that are due; bit n of `code`: exchange n is."""
        if code not in self._known_uses:
            found = []
            for other, link in self.topology.outgoing(self.agent).items():
                numbers = [n for n, rule in enumerate(self.rhythms) if link.in_class(rule.links)]
                due = tuple(n for n in numbers if code >> n & 1)
                if due or any(self.rhythms[n].legs > 1 for n in numbers):
                    found.append(Use(other, due))
            self._known_uses[code] = tuple(found)
        return self._known_uses[code]

    # --- for `check` and the greeting -------------------------------------------------------------

    def meetings_of(self, number: int) -> set[int]:
        """At how many ticks of this agent exchange `number` is due. Of other agents it is another number."""
        rule = replace(self.rhythms[number], legs=1)
        if not self.topology.users(self.agent, rule.links):
            return {0}
        uses = self.clock.uses_of(self.agent, self.rows[self.agent], (rule,))
        return {self._got(uses, float_up_to(self.end))}

    def expected_hash(self, neighbour: int) -> str:
        """sha256 over what determines the frames between both: ticks, options, rules and shortest ways."""
        first, second = sorted((self.agent, neighbour))
        ends = [[list(self.rows[end]), self.clock.described(end)] for end in (first, second)]
        links = [
            [link.name, shortest_way(link), [repr(rule) for rule in self._rules(link)]]
            for link in self._between(neighbour)
        ]
        return sha256(json.dumps([self.clock.seed, ends, links]).encode()).hexdigest()

    def expected(self, neighbour: int) -> Iterator[str]:
        """Every frame between both ends, one line each."""
        for link in self._between(neighbour):
            if rules := self._rules(link):
                uses = self.clock.uses_of(link.source, self.rows[link.source], rules)
                for time in uses.until(float_up_to(self.end)):
                    yield f"{time!r} {link.name}, shortest way {shortest_way(link)!r} s"

    def _between(self, neighbour: int) -> list[Link]:
        out = self.topology.outgoing(self.agent).get(neighbour)
        back = self.topology.incoming(self.agent).get(neighbour)
        links = [link for link in (out, back) if link is not None]
        return sorted(links, key=lambda link: link.source)


def float_up_to(time: Fraction | float) -> float:
    """The greatest float that is at most `time`: a tick is at or before either, or at or before none."""
    found = float(time)
    return found if found <= time else math.nextafter(found, -math.inf)
