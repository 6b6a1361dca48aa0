"""Agreeing on a cut while the run goes on: one at which all agents save, or save and end.

Whoever is asked to stop (a signal on any process), or sees that it is time to save, tells the others. No
agent begins anything new from then on; what the furthest of them has begun decides. All go on to the first
cut after that, save there, and end there if it is a stop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from signal import SIGXCPU

from mpidcl.network.alarm import Alarm
from mpidcl.network.schedule.timetable import SHORTEST_CUT, Moment, Phase

PULSE_S = 0.05
"""Seconds after which an agent that asks nothing lets its driver look for messages."""
REPEAT_S = 2.0
"""Seconds in which another signal is the same event once more: a terminal that is closed, or a launcher that
passes on what the system has sent to everybody."""
BEGINNING = Moment(Fraction(0), Phase.LEARN)
TIME_IS_UP = 0
"""A reason to stop that is no signal."""


class Stopping:
    """What the agents of one process know about the cuts of one run on which all agree while it goes on.

    `why` is the reason to stop: the number of a signal, or TIME_IS_UP. `limit` is the time at which the run
    ends anyhow. `cuts` are those agreed on, `end` is where all
    end, None before that is agreed on, and `agreements` counts them all. `notice` is called with reason and
    cut of each agreement, on a process that speaks to the user; `listens`: a driver wants to look for
    messages of other processes. `alarm`, of rank 0, says when the clock asks.
    """

    def __init__(self, limit: Fraction = Fraction(0)) -> None:
        self.limit = limit
        self.why: int | None = None
        self.end: Fraction | None = None
        self.cuts: list[Fraction] = []
        self.agreements = 0
        self.saving = False
        self.notice: Callable[[int | None, Fraction], None] | None = None
        self.alarm: Alarm | None = None
        self.listens = False
        self._begun: dict[int, Moment] = {}
        self._armed = False
        self._taken: float | None = None
        self._looked = 0.0

    def asked(self) -> bool:
        """Should agents begin nothing more until the next agreement?"""
        if self.end is not None:
            return False
        if self.alarm is not None and self.why is None:
            stop, save = self.alarm.due()
            self.saving = self.saving or save
            if stop:  # also in the place of a checkpoint on which all are agreeing
                self.want(TIME_IS_UP)
        return self.saving or self.why is not None

    def want(self, why: int) -> None:
        """Somebody wants the run to stop; the first reason counts."""
        if self.why is None:
            self.why = why

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Within the block agents live, and can be asked."""
        self._armed = True
        try:
            yield
        finally:
            self._armed = False

    def ask(self, signal: int) -> bool:
        """Stop, please; False where this comes too early, or from somebody who does not want to wait.

        What others have asked for does not count: one event may reach every process by itself.
        """
        now = time.monotonic()
        if self._taken is not None:
            return now - self._taken < REPEAT_S or signal == SIGXCPU  # which comes every second
        if not self._armed and self.end is None:
            return False
        self._taken = now
        self.want(signal)
        return True

    def begin(self, agent: int, moment: Moment) -> None:
        """The agent begins what is due then, and so will end it."""
        self._begun[agent] = moment
        if self.alarm is not None:
            self.alarm.began(agent)

    def furthest(self) -> Moment:
        """The last moment that some agent of this process has begun."""
        return max((BEGINNING, *self._begun.values()))

    def agree(self, furthest: Moment) -> Fraction:
        """All agents save at the cut that this gives, and end there if `end` is set then.

        `furthest` is that of all processes.
        """
        cut, why = stop_time(furthest, self.limit), self.why
        if why is None:
            self.save_at(cut)
        else:
            self.end_at(cut)
        if self.notice is not None:  # not in the signal's handler, which may come in the middle of a line
            self.notice(why, cut)
        return cut

    def save_at(self, cut: Fraction) -> None:
        """All have agreed to save at this cut."""
        self.cuts.append(cut)
        self.saving = False
        self.agreements += 1

    def end_at(self, cut: Fraction) -> None:
        """All have agreed to end at this cut."""
        self.end = cut
        self.agreements += 1

    def pulse(self) -> bool:
        """Is it time to look for messages? True every PULSE_S, where there are other processes."""
        now = time.monotonic() if self.listens else self._looked
        if now - self._looked < PULSE_S:
            return False
        self._looked = now
        return True


def stop_time(furthest: Moment, limit: Fraction) -> Fraction:
    """The first cut, at a whole multiple of SHORTEST_CUT, at or after `furthest`; at most `limit`.

    >>> stop_time(Moment(Fraction(1, 3), Phase.LEARN), Fraction(2))
    Fraction(167, 500)
    >>> stop_time(Moment(Fraction(1), Phase.CUT), Fraction(2))
    Fraction(1, 1)
    >>> stop_time(Moment(Fraction(1), Phase.BEFORE), Fraction(2))
    Fraction(1001, 1000)
    """
    cut = math.ceil(Fraction(furthest.time) / SHORTEST_CUT) * SHORTEST_CUT
    if (cut, Phase.CUT) < furthest or not cut:
        cut += SHORTEST_CUT
    return min(cut, limit)
