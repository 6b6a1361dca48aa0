"""When the agents of a clock with virtual time tick: functions of the seed, found window by window.

A window is a piece of an agent's life with about WINDOW ticks. Its ticks are a function of (seed, agent,
window), so a run that goes on begins in the middle, and both ends of a link know the same of an agent.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from mpidcl.network.schedule.topology import disjoint
from mpidcl.randomness import numpy_generator

Seconds = NDArray[np.float64]
WINDOW = 512
"""Ticks of a window, or their mean number."""
KEPT = 4
"""Windows that are kept: neighbours look at about the same time of an agent."""


class Absences:
    """When an agent is away: it neither ticks nor hears.

    `share` of the time, for `mean` seconds on average, seeded; and from the first to the second of each pair
    in `listed`. Both ways of being away and there last exponential times. A piece of life of so many of both
    is a function of (seed, agent, piece), and begins by chance: an absence ends with its piece at the latest.
    """

    PAIRS = 64

    def __init__(
        self, seed: int, agent: int, share: float, mean: float, listed: Sequence[tuple[float, float]] = ()
    ) -> None:
        self._seed, self._agent, self._share, self._mean = seed, agent, share, mean
        self._piece = self.PAIRS * mean / share if share > 0 else math.inf
        self._listed = sorted(listed)
        self._known: OrderedDict[int, Seconds] = OrderedDict()

    def of(self, times: Seconds) -> NDArray[np.bool_]:
        """Whether it is away at `times [n]`, sorted."""
        found = np.zeros(len(times), np.bool_)
        for first, last in self._listed:
            found[np.searchsorted(times, first) : np.searchsorted(times, last)] = True
        if self._share > 0 and len(times):
            for piece in range(int(times[0] / self._piece), int(times[-1] / self._piece) + 1):
                mine = slice(*np.searchsorted(times, [piece * self._piece, (piece + 1) * self._piece]))
                changes = np.searchsorted(self._changes(piece), times[mine], "right")
                found[mine] |= changes % 2 == 1
        return found

    def at(self, time: float) -> bool:
        """Whether it is away at one time."""
        return bool(self.of(np.array([time]))[0])

    def changes_until(self, end: float) -> Seconds:
        """When it leaves, comes back, leaves, ... up to a time, that of the next change included."""
        away: list[tuple[float, float]] = []
        for piece in range(int(end / self._piece) + 1 if self._share > 0 else 0):
            last = (piece + 1) * self._piece
            changes = [time for time in self._changes(piece).tolist() if time < last]
            away += zip(changes[::2], [*changes[1::2], last], strict=False)
        return np.array(disjoint(away, self._listed)).ravel()

    def _changes(self, piece: int) -> Seconds:
        """When it leaves and comes back in a piece, in turn."""
        if piece not in self._known:
            rng = numpy_generator(self._seed, self._agent, "absences", piece)
            away, there = self._mean, self._mean * (1 - self._share) / self._share
            begin, end = piece * self._piece, (piece + 1) * self._piece
            away_first = rng.random() < self._share
            changes, time = [begin] if away_first else [], begin
            while time < end:
                time += rng.exponential(away if len(changes) % 2 else there)
                changes.append(time)
            if len(self._known) == KEPT:
                self._known.popitem(last=False)
            self._known[piece] = np.array(changes)
        return self._known[piece]


class Ticks(ABC):
    """The ticks of one agent, `rate` of them in a second of virtual time on average.

    Windows are in order of time: whatever is in a later one is later, or at the same time.
    """

    def __init__(self, seed: int, agent: int, rate: float, absences: Absences | None = None) -> None:
        self.seed, self.agent, self.rate, self.absences = seed, agent, rate, absences
        self._kept: OrderedDict[int, Seconds] = OrderedDict()
        self._before = [0]

    @abstractmethod
    def _window(self, number: int) -> Seconds:
        """Times of the ticks of a window, sorted."""

    @abstractmethod
    def ends(self, number: int) -> float:
        """A time up to which all ticks are in this window or in one before it."""

    def window(self, number: int) -> Seconds:
        """Times [n] of the ticks of window `number`, from 0 on, sorted."""
        found = self._kept.pop(number, None)
        if found is None:
            found = self._window(number)
            if self.absences is not None:
                found = found[~self.absences.of(found)]
            if len(self._kept) == KEPT:
                self._kept.popitem(last=False)
        self._kept[number] = found
        if number == len(self._before) - 1:
            self._before.append(self._before[-1] + len(found))
        return found

    def before(self, number: int) -> int:
        """How many ticks there are before window `number`."""
        while len(self._before) <= number:
            self.window(len(self._before) - 1)
        return self._before[number]

    def at(self, time: float) -> int:
        """The first window whose ticks are not all before `time`, or a window before that."""
        return next(number for number in count() if self.ends(number) >= time)

    def until(self, time: float) -> int:
        """How many ticks there are up to a time, at it included."""
        first = self.at(time)
        last = next(number for number in count(first) if self.ends(number) >= time) + 1
        parts = [np.searchsorted(self.window(number), time, "right") for number in range(first, last + 1)]
        return self.before(first) + int(sum(parts))

    def time_of(self, tick: int) -> float:
        """When it ticks for the `tick`-th time, from 1 on."""
        number = next(number for number in count() if self.before(number + 1) >= tick)
        return float(self.window(number)[tick - 1 - self.before(number)])


class Poisson(Ticks):
    """An agent that ticks at any time, as likely as at any other: intervals are exponential.

    A window lasts WINDOW / rate seconds; in it are a Poisson number of uniform times.
    """

    def __init__(self, seed: int, agent: int, rate: float, absences: Absences | None = None) -> None:
        super().__init__(seed, agent, rate, absences)
        self._length = WINDOW / rate

    def _window(self, number: int) -> Seconds:
        rng = numpy_generator(self.seed, self.agent, "ticks", number)
        return np.unique((number + rng.random(rng.poisson(WINDOW))) * self._length)

    def ends(self, number: int) -> float:
        return (number + 1) * self._length

    def at(self, time: float) -> int:
        return max(0, int(time / self._length) - 1)


class Regular(Ticks):
    """An agent that ticks at 1 / rate, 2 / rate, ...: agents of one rate tick together."""

    def _window(self, number: int) -> Seconds:
        return np.arange(number * WINDOW + 1, (number + 1) * WINDOW + 1) / self.rate

    def ends(self, number: int) -> float:
        return (number + 1) * WINDOW / self.rate

    def at(self, time: float) -> int:
        return max(0, int(time * self.rate / WINDOW) - 1)


class LogNormal(Ticks):
    """An agent whose steps take a log-normal time of mean 1 / rate: `spread` is that of its logarithm."""

    def __init__(
        self, seed: int, agent: int, rate: float, absences: Absences | None = None, spread: float = 0.5
    ) -> None:
        super().__init__(seed, agent, rate, absences)
        self._spread, self._ends = spread, [0.0]

    def _window(self, number: int) -> Seconds:
        while len(self._ends) <= number:
            self._ends.append(float(self._steps(len(self._ends) - 1)[-1]))
        return self._steps(number)

    def _steps(self, number: int) -> Seconds:
        rng = numpy_generator(self.seed, self.agent, "ticks", number)
        middle = -np.log(self.rate) - self._spread**2 / 2
        return self._ends[number] + np.cumsum(rng.lognormal(middle, self._spread, WINDOW))

    def ends(self, number: int) -> float:
        self._window(number + 1)
        return self._ends[number + 1]
