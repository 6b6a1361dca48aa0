"""What timetables share whose schedule time is counted in tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Self

from mpidcl.network.schedule.timetable import Event, Rhythm

if TYPE_CHECKING:
    from mpidcl.network.schedule.topology import Topology


@dataclass(frozen=True)
class InTasks:
    """The events of one agent, at times task index + ticks done / ticks of the task.

    `ticks[a]` are the ticks per task of agent a, for every agent. `evaluate_every` is in ticks, None: only at
    the end of a task; `cut_every` is in tasks; `cuts` are further ones. Cuts are the same for all agents.
    """

    agent: int
    topology: Topology
    rhythms: tuple[Rhythm, ...]
    ticks: Sequence[Sequence[int]]
    evaluate_every: int | None
    cut_every: Fraction
    until: Fraction | None = None
    cuts: tuple[Fraction, ...] = ()

    @property
    def tasks(self) -> int:
        """Number of tasks of the agent that has the most."""
        return max((len(row) for row in self.ticks), default=0)

    @property
    def end(self) -> Fraction:
        """The time at which the run, or this part of it (`until`), is over."""
        return Fraction(self.tasks) if self.until is None else min(Fraction(self.tasks), self.until)

    @property
    def finished(self) -> bool:
        """Whether `end` is that of the last task."""
        return self.end >= self.tasks

    def done(self, event: Event) -> float:
        """How many tasks are done, which is the time."""
        return float(event.moment.time)

    def with_cuts(self, cuts: tuple[Fraction, ...], until: Fraction | None) -> Self:
        """The same with these further cuts, and up to `until` (None: to the same end as before)."""
        return replace(self, cuts=cuts, until=self.until if until is None else until)
