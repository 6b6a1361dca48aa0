"""Drives linear agents whose ticks are compiled: they live the rest, and ask that ticks be over."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from heapq import heappop, heappush

from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Reach, Saved
from mpidcl.network.schedule.milestones import Milestones, Pauses
from mpidcl.network.schedule.timetable import Moment, Timetable
from mpidcl.network.schedule.virtual_timetable import VirtualTimetable, float_up_to
from mpidcl.network.services import Answer, Service
from mpidcl.network.stopping import Stopping
from mpidcl.run.agent import Agent
from mpidcl.run.compiled.engine import Engine, Key, first_pause


def take_ticks(agents: Sequence[Agent]) -> None:
    """Leave agents nothing but milestones: their ticks are the driver's."""
    tables = [_virtual(agent.timetable) for agent in agents]
    clock = tables[0].clock
    first = first_pause([clock.ticks_of(agent.number).rate for agent in agents])
    pauses = Pauses(Fraction(2) ** first, len(agents))
    for agent, table in zip(agents, tables, strict=True):
        agent.timetable = Milestones.of(table, pauses)


def _virtual(table: Timetable) -> VirtualTimetable:
    assert isinstance(table, VirtualTimetable)  # `is_compiled` has looked at the clock
    return table


class CompiledDriver(InProcessDriver):
    """All agents in one process, their ticks in one loop."""

    def __init__(
        self,
        engine: Engine,
        checksum_all: bool = False,
        on_saved: Callable[[Saved], None] | None = None,
        stopping: Stopping | None = None,
    ) -> None:
        super().__init__(checksum_all, on_saved, stopping)
        self._reaching = Reaching(self._answer, engine)
        self._offer(self._reaching, *self._services)

    def _wait(self) -> None:
        if not self._reaching.go_on():
            super()._wait()


class Reaching(Service[Reach]):
    """Takes ticks to the first moment that an agent waits for."""

    answers = (Reach,)

    def __init__(self, answer: Answer, engine: Engine) -> None:
        self._answer, self._engine = answer, engine
        self._wanted: list[tuple[Key, int, Moment]] = []

    def ask(self, agent: int, request: Reach) -> None:
        heappush(self._wanted, (_key(agent, request.moment), agent, request.moment))

    def go_on(self) -> bool:
        """Live the ticks up to the first moment; whether anybody waited for one."""
        if not self._wanted:
            return False
        first = self._wanted[0][0]
        self._engine.run_to(first)
        while self._wanted and self._wanted[0][0] == first:
            _, agent, moment = heappop(self._wanted)
            self._engine.show(self._engine.agents[agent], moment)
            self._answer(agent, ())
        return True

    def waits_in(self, agent: int, request: Reach) -> str:
        return f"waits for ticks up to {request.moment}"


def _key(agent: int, moment: Moment) -> Key:
    """Own ticks are at floats; what is due for all, behind their ticks of that time, at fractions."""
    everybody = isinstance(moment.time, Fraction)
    return float_up_to(moment.time), math.inf if everybody else float(agent)
