"""The events of an agent whose ticks are in the hands of its driver: what is left to do beside them."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction
from heapq import merge
from itertools import takewhile

from mpidcl.network.schedule.timetable import START, Due, Event, Moment, Phase
from mpidcl.network.schedule.virtual_timetable import Fixed, VirtualTimetable, float_up_to

AT_REST = frozenset({Phase.ARRIVE, Phase.END_TASK, Phase.EVALUATE, Phase.CUT})
"""Phases of events before which all ticks up to their moment are to be over."""
NOBODY = (Due(-1, 0),)
"""What such an event waits for: no frame, but something."""
BREATH_S = 0.5
"""Seconds of our time between two pauses, about; and at least BREATH_EACH_S for each agent."""
BREATH_EACH_S = 2e-3


class Pauses:
    """Times at which all agents of a process notice that they are asked to stop.

    They are found while the run goes on, since a tick may take a microsecond, or a thousand where messages
    are made in Python: `length` (in virtual time) doubles or halves until a pause comes every BREATH_S.
    Nothing happens at a pause that would be told later, so they may differ between two runs.
    """

    def __init__(self, length: Fraction = Fraction(1), agents: int = 1) -> None:
        self._length, self._wanted = length, max(BREATH_S, BREATH_EACH_S * agents)
        self._times: list[Fraction] = []
        self._found = 0.0

    def after(self, begin: Fraction | float) -> Iterator[Fraction]:
        """Those after a time, the same for all agents. Each is found when the first agent asks for it."""
        place = bisect_right(self._times, begin)
        while True:
            if place == len(self._times):
                self._find(Fraction(begin))
            yield self._times[place]
            place += 1

    def _find(self, begin: Fraction) -> None:
        now = time.monotonic()
        if self._times:
            self._adapt(now - self._found)
        last = max(begin, *self._times[-1:], Fraction(0))
        self._times.append((last // self._length + 1) * self._length)
        self._found = now

    def _adapt(self, passed: float) -> None:
        if passed < self._wanted / 2:
            self._length *= 2
        while passed > 2 * self._wanted:
            passed /= 2
            self._length /= 2


@dataclass(frozen=True, eq=False)
class Milestones(VirtualTimetable):
    """Begins and ends of tasks, evaluations and cuts, and pauses."""

    pauses: Pauses = field(default_factory=Pauses)

    @classmethod
    def of(cls, table: VirtualTimetable, pauses: Pauses) -> Milestones:
        """Those of a timetable."""
        known = {one.name: getattr(table, one.name) for one in fields(VirtualTimetable)}
        return cls(**known, pauses=pauses)

    def events(self, after: Moment = START) -> Iterator[Event]:
        """Everything after `after` and up to the last cut, in order."""
        for event in super().events(after):
            yield event._replace(due=NOBODY) if event.moment.phase in AT_REST else event

    def _at(self, fixed: Fixed, got: list[int]) -> Event:
        return Event(fixed.moment, *self._stands(fixed.time))

    def _fixed(self, after: Moment) -> Iterator[Fixed]:
        pauses = takewhile(lambda one: one <= self.end, self.pauses.after(after.time))
        rests = (Fixed(float_up_to(time), Phase.ARRIVE, Moment(time, Phase.ARRIVE)) for time in pauses)
        late = (rest for rest in rests if rest.moment > after)
        return merge(super()._fixed(after), late, key=lambda one: one.moment)

    def _all_own(self, begin: float) -> Iterator[tuple[Event, list[int]]]:
        row, ticks, end = self.rows[self.agent], self._mine.ticks, float_up_to(self.end)
        for event in self._begin(0, 0.0):
            yield event, []
        before = 0
        for task, length in enumerate(row):
            for tick in [*self._tests(length), length] if length else ():
                if (time := ticks.time_of(before + tick)) > end:
                    return
                if tick < length:
                    yield Event(Moment(time, Phase.EVALUATE), task, tick), []
            if length:
                for event in self._close(time, task, length):
                    yield event, []
            before += length

    def _tests(self, length: int) -> range:
        """Ticks of a task of so many, but the last, after which this agent evaluates."""
        every = self.evaluate_every
        return range(1, length, every) if isinstance(every, int) else range(0)
