"""The clock `virtual`: every agent ticks at times of its own, and waits for no tick that is later.

Ticks are ordered by (time, agent). A frame that leaves agent j at tick (t, j) arrives at some time a, never
before t + least, where `least` is a constant of its link. Tick (s, i) waits for every frame with
(t + least, j) < (s, i), and handles those with (a, j) < (s, i). So it waits only for smaller ticks, no circle
of waiting can form, and what it handles is the same in every execution (docs/design.md, "Time and order").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.experiment.spans import Spans
from mpidcl.experiment.units import Cadence, CadenceUnit, Seconds, Share
from mpidcl.network.schedule.clock import Clock
from mpidcl.network.schedule.described import LinkLoad, described
from mpidcl.network.schedule.ticks import Absences, LogNormal, Poisson, Regular, Ticks
from mpidcl.network.schedule.timetable import (
    SHORTEST_CUT,
    Rhythm,
    Timetable,
)
from mpidcl.network.schedule.uses import Stages, Uses
from mpidcl.network.schedule.virtual_timetable import VirtualTimetable
from mpidcl.network.schedule.words import SECONDS, TimeWords
from mpidcl.randomness import numpy_generator

if TYPE_CHECKING:
    from mpidcl.network.schedule.topology import Topology


class VirtualOptions(Options):
    """Options of `clock = {kind = "virtual"}`; `[[agent]] clock` may say others for some agents."""

    rate: float = Field(
        default=1.0, gt=0, le=1e9, description="ticks of an agent in a second of virtual time, on average"
    )
    ticks: Literal["poisson", "regular", "log-normal"] = Field(
        default="poisson",
        description="when an agent ticks: at random times, at equal distances, or after steps that take a"
        " log-normal time",
    )
    spread: float = Field(
        default=0.5, ge=0, le=5, description="log-normal: deviation of the logarithm of a step's time"
    )
    uneven: float = Field(
        default=0.0, ge=0, le=5, description="deviation of the logarithm of the agents' own rates"
    )
    away: Share = Field(
        default=0.0, lt=1, description="share of the time in which an agent is away: no tick, no frame"
    )
    absence: Seconds = Field(default=10.0, gt=0, description="mean time of being away")
    absences: Spans = Field(default=(), description='[["10 s", "20 s"]]: also away from 10 s to 20 s')


class Virtual(Clock):
    """Asynchronous and repeatable: ticks at seeded times, frames with latency, bandwidth, jitter and loss."""

    Options: ClassVar[type[Options]] = VirtualOptions
    name: ClassVar[str] = "virtual"
    units: ClassVar[tuple[CadenceUnit, ...]] = ("tick", "epoch", "task", "second")
    moments: ClassVar[tuple[str, ...]] = ("after", "task end")
    words: ClassVar[TimeWords] = SECONDS
    by_mail: ClassVar[bool] = True
    draws: ClassVar[bool] = True
    options: VirtualOptions

    def __init__(self, options: VirtualOptions, seed: int, agents: Sequence[object] = ()) -> None:
        super().__init__(options, seed, agents)
        self._ticks: dict[int, Ticks] = {}
        self._described: dict[int, str] = {}
        self._uses: dict[tuple[int, tuple[Rhythm, ...]], Uses] = {}
        self._end: tuple[Sequence[Sequence[int]], Fraction] | None = None

    def time(self, cadence: Cadence, epochs: int) -> Fraction:
        """Seconds; so many ticks take an agent with the rate of `[clock]` that long on average."""
        if cadence.seconds is not None:
            return Fraction(repr(cadence.seconds))
        ticks = cadence.count * (epochs if cadence.unit == "task" else 1)
        return Fraction(ticks) / Fraction(repr(self.options.rate))

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
    ) -> VirtualTimetable:
        """The timetable of one agent; schedule time is counted in seconds."""
        if self._end is None or self._end[0] is not ticks:
            self._end = ticks, self._last(ticks)
        last = self._end[1]
        return VirtualTimetable(self, agent, topology, rhythms, ticks, evaluate_every, cut_every, last, until)

    def describe(self, table: Timetable, links: Sequence[LinkLoad]) -> list[str]:
        """Its end, the ticks of agents by rate, and frames underway."""
        assert isinstance(table, VirtualTimetable)
        return described(self, table, links)

    def _last(self, ticks: Sequence[Sequence[int]]) -> Fraction:
        """When all agents have learned all their tasks, in thousandths of a second, rounded up."""
        times = [self.ticks_of(agent).time_of(sum(row)) for agent, row in enumerate(ticks) if sum(row)]
        return math.ceil(Fraction(max(times, default=0.0)) / SHORTEST_CUT) * SHORTEST_CUT

    def of(self, agent: int) -> VirtualOptions:
        """The options of one agent."""
        found = self.agents[agent] if self.agents else self.options
        assert isinstance(found, VirtualOptions)
        return found

    def described(self, agent: int) -> str:
        """The options of one agent in words; neighbours compare them, and there may be many."""
        if agent not in self._described:
            self._described[agent] = self.of(agent).model_dump_json()
        return self._described[agent]

    def ticks_of(self, agent: int) -> Ticks:
        """The ticks of one agent."""
        if agent not in self._ticks:
            mine = self.of(agent)
            absences = self.absences_of(agent)
            own = numpy_generator(self.seed, agent, "rate").standard_normal() if mine.uneven else 0.0
            rate = mine.rate * math.exp(mine.uneven * own)
            if mine.ticks == "log-normal":
                self._ticks[agent] = LogNormal(self.seed, agent, rate, absences, mine.spread)
            else:
                kind = Poisson if mine.ticks == "poisson" else Regular
                self._ticks[agent] = kind(self.seed, agent, rate, absences)
        return self._ticks[agent]

    def absences_of(self, agent: int) -> Absences | None:
        """When one agent is away; None: never."""
        mine = self.of(agent)
        if not mine.away and not mine.absences:
            return None
        return Absences(self.seed, agent, mine.away, mine.absence, mine.absences)

    def uses_of(self, agent: int, row: Sequence[int], rules: tuple[Rhythm, ...]) -> Uses:
        """The ticks of one agent at which frames leave for exchanges with these rules."""
        key = agent, rules
        if key not in self._uses:
            self._uses[key] = Uses(self.ticks_of(agent), Stages(row), rules)
        return self._uses[key]
