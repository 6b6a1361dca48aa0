"""When the clock asks all agents to save, or to save and end before the time of the job is over."""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST_S = 5.0
"""Seconds that are always left for leaving: last messages, results, the end of the processes."""
UNKNOWN_S = 5.0
"""Seconds that saving is taken to need before a cut has shown it."""
SAFETY = 1.5
"""What has been seen may take so many times as long the next time."""
REHEARSAL = 1 / 3
"""The part of the time after which all save once if no cut is complete: to have one, and to know how long."""


class Alarm:
    """The clock of one run, on rank 0. Times are in seconds, as `now` gives them.

    `every`: from one checkpoint to the next, None: none by the clock. `end`: when the time is over, None:
    never. Agents are asked to stop a margin before that. It grows with what the run itself has shown: the
    longest time between two things that an agent begins, and the longest that a cut took from its first
    part to its last. It is at most half of the time.
    """

    def __init__(
        self,
        every: float | None = None,
        end: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now, self._every, self.end = now, every, end
        self._start = self._saved = now()
        self._rehearsed = False
        self._began: dict[int, float] = {}
        self._longest_step = 0.0
        self._longest_cut: float | None = None
        self._parts: dict[object, float] = {}

    def due(self) -> tuple[bool, bool]:
        """Is it time to stop, and is it time to save?"""
        now = self._now()
        if self.end is not None and now >= self.end - self.margin():
            return True, False
        save = self._every is not None and now - self._saved >= self._every
        if self.end is not None and self._longest_cut is None and not self._rehearsed:
            self._rehearsed = now - self._start >= REHEARSAL * (self.end - self._start)
            save = save or self._rehearsed
        save = save and not self._parts  # while agents are far apart, one cut after the other
        if save:
            self._saved = now
        return False, save

    def left(self) -> float:
        """Seconds until the time is over."""
        return float("inf") if self.end is None else self.end - self._now()

    def margin(self) -> float:
        """How long before the end all are asked to stop."""
        cut = UNKNOWN_S if self._longest_cut is None else self._longest_cut
        half = float("inf") if self.end is None else (self.end - self._start) / 2
        return min(LEAST_S + SAFETY * (self._longest_step + cut), half)

    def began(self, agent: int) -> None:
        """An agent begins something, and so has ended what it had begun before."""
        now = self._now()
        self._longest_step = max(self._longest_step, now - self._began.get(agent, now))
        self._began[agent] = now

    def part(self, cut: object) -> None:
        """An agent's part of a cut is being saved, or is."""
        self._parts.setdefault(cut, self._now())

    def complete(self, cut: object) -> None:
        """All parts of a cut are saved."""
        took = self._now() - self._parts.pop(cut, self._now())
        self._longest_cut = max(self._longest_cut or 0.0, took)
        self._saved = self._now()
