"""Which ticks of an agent use a link, under a clock with virtual time: both ends find the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from mpidcl.network.schedule.chance import drawn
from mpidcl.network.schedule.ticks import Seconds, Ticks
from mpidcl.network.schedule.timetable import Rhythm

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Stages:
    """Where an agent stands after so many ticks: `row` are its ticks per task.

    When all its tasks are learned it ticks on, in a task behind the last one.
    """

    def __init__(self, row: Sequence[int]) -> None:
        self.row = np.array([*row, 0], np.int64)
        self._ends = np.cumsum(self.row[:-1])
        self._begins = self._ends - self.row[:-1]
        self.ticks = int(self._ends[-1]) if len(self._ends) else 0

    def of(self, numbers: Counts) -> tuple[Counts, Counts]:
        """The task [n] of ticks that are numbered from 1 on, and the ticks [n] done in it then."""
        task = np.searchsorted(self._ends, numbers)
        return task, numbers - np.append(self._begins, self.ticks)[task]

    def due(self, rule: Rhythm, task: Counts, done: Counts, times: Seconds, last: float) -> Mask:
        """At which ticks [n] an exchange is due; `last`: the time of the tick before the first of them."""
        if rule.seconds is None:
            found: Mask = rule.due(task, done, self.row[task])
            return found
        periods = np.floor(np.append(last, times) / rule.seconds)
        return (task >= rule.from_task) & (np.diff(periods) > 0)


class Uses:
    """The ticks of one agent at which frames leave on a link that the exchanges of `rules` use."""

    def __init__(self, ticks: Ticks, stages: Stages, rules: Sequence[Rhythm]) -> None:
        self.ticks, self.stages, self.rules = ticks, stages, tuple(rules)
        self._always = any(rule.legs > 1 for rule in rules)
        self._before = [0]
        self._kept: dict[int, Seconds] = {}

    def due(self, window: int) -> tuple[Seconds, Counts, Counts, Mask]:
        """Of a window: times [n], task and ticks done in it [n], and which rules are due [rules, n]."""
        times, before = self.ticks.window(window), self.ticks.before(window)
        task, done = self.stages.of(before + np.arange(1, len(times) + 1))
        last = self._last(window) if any(rule.seconds is not None for rule in self.rules) else 0.0
        found = [self.stages.due(rule, task, done, times, last) for rule in self.rules]
        for rule, mask in zip(self.rules, found, strict=True):
            if rule.chance is not None:
                mask &= drawn(self.ticks.seed, self.ticks.agent, rule.chance, before + 1, len(times))
        return times, task, done, np.array(found, np.bool_).reshape(len(found), len(times))

    def _last(self, window: int) -> float:
        """The time of the last tick before a window."""
        for number in range(window - 1, -1, -1):
            if len(times := self.ticks.window(number)):
                return float(times[-1])
        return 0.0

    def frames(self, window: int) -> Seconds:
        """When frames leave in a window: with what is due, and at every tick where answers may leave."""
        if window not in self._kept:
            times, _, _, due = self.due(window)
            while len(self._kept) >= 4:
                del self._kept[next(iter(self._kept))]
            self._kept[window] = times if self._always else times[due.any(0)]
        return self._kept[window]

    def before(self, window: int) -> int:
        """How many frames leave before a window."""
        while len(self._before) <= window:
            self._before.append(self._before[-1] + len(self.frames(len(self._before) - 1)))
        return self._before[window]

    def counts(self, times: Seconds, least: float, ties: bool) -> Counts:
        """How many frames [n] left at t with t + least < each of `times` [n], sorted; `ties`: or at it."""
        if not len(times):
            return np.zeros(0, np.int64)
        first = self.ticks.at(max(0.0, float(times[0]) - least))
        parts: list[Seconds] = []
        for window in count(first):
            parts.append(self.frames(window))
            if self.ticks.ends(window) + least > times[-1]:
                break
        left = np.concatenate(parts) + least
        found = np.searchsorted(left, times, "right" if ties else "left")
        return self.before(first) + found

    def until(self, end: float) -> Iterator[float]:
        """When frames leave, up to `end`."""
        for window in count():
            for time in self.frames(window).tolist():
                if time > end:
                    return
                yield time
            if self.ticks.ends(window) >= end:
                return
