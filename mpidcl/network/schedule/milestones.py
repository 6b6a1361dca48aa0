"""The events of an agent whose ticks are in the hands of its driver: what is left to do beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from heapq import merge

from mpidcl.network.schedule.timetable import START, Due, Event, Moment, Phase
from mpidcl.network.schedule.virtual_timetable import Fixed, VirtualTimetable, float_up_to

AT_REST = frozenset({Phase.ARRIVE, Phase.END_TASK, Phase.EVALUATE, Phase.CUT})
"""Phases of events before which all ticks up to their moment are to be over."""
NOBODY = (Due(-1, 0),)
"""What such an event waits for: no frame, but something."""


@dataclass(frozen=True, eq=False)
class Milestones(VirtualTimetable):
    """Begins and ends of tasks, evaluations and cuts, and a stop for breath every `pause` seconds.

    At a pause agents notice that they are asked to stop.
    """

    pause: Fraction = Fraction(1)

    @classmethod
    def of(cls, table: VirtualTimetable, pause: Fraction) -> Milestones:
        """Those of a timetable."""
        known = {field.name: getattr(table, field.name) for field in fields(VirtualTimetable)}
        return cls(**known, pause=pause)

    def events(self, after: Moment = START) -> Iterator[Event]:
        """Everything after `after` and up to the last cut, in order."""
        for event in super().events(after):
            yield event._replace(due=NOBODY) if event.moment.phase in AT_REST else event

    def _at(self, fixed: Fixed, got: list[int]) -> Event:
        return Event(fixed.moment, *self._stands(fixed.time))

    def _fixed(self, after: Moment) -> Iterator[Fixed]:
        pauses = self._multiples(self.pause, after.time)
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
