"""The clock `free`: every agent runs at the speed of its machine, and waits for nobody before its end.

Schedule time is an agent's own progress, counted in tasks. What an agent hears at a tick is what has come by
then, so no two runs are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from mpidcl.experiment.part import Use
from mpidcl.network.schedule.clock import Clock
from mpidcl.network.schedule.free_timetable import FreeTimetable
from mpidcl.network.schedule.timetable import Rhythm

if TYPE_CHECKING:
    from mpidcl.network.schedule.topology import Topology


class Free(Clock):
    """Asynchronous, at the speed of the machines: a tick hears whatever has come; no run can be repeated."""

    name: ClassVar[str] = "free"
    moments: ClassVar[tuple[str, ...]] = ("after", "task end")
    by_mail: ClassVar[bool] = True
    waits: ClassVar[bool] = False
    draws: ClassVar[bool] = True

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        yield (
            'note: clock = "free" cannot be repeated: what an agent hears depends on how fast machines and'
            ' network are. clock = "virtual" is asynchronous, and the same bits each time.'
        )
        conditions = use.whole.network.conditions
        if conditions.latency or conditions.jitter or conditions.bandwidth or conditions.file:
            yield (
                'note: under clock = "free" latency, jitter and bandwidth of [network] are counted and not'
                " waited for; the real network delays frames."
            )

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
    ) -> FreeTimetable:
        """The timetable of one agent; schedule time is counted in its own tasks."""
        assert not isinstance(evaluate_every, Fraction)  # it has no unit of time
        every = Fraction(max(map(len, ticks))) if cut_every is None else cut_every
        return FreeTimetable(agent, topology, rhythms, ticks, evaluate_every, every, until, seed=self.seed)
