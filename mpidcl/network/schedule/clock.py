"""What a clock is: it says how the schedules of all agents fit together, by making their timetables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Part
from mpidcl.experiment.units import Cadence, CadenceUnit
from mpidcl.network.schedule.ticks import Absences
from mpidcl.network.schedule.timetable import Rhythm, Timetable
from mpidcl.network.schedule.words import TASKS, TimeWords

if TYPE_CHECKING:  # every file names a clock, and few commands draw a network
    from mpidcl.network.schedule.described import LinkLoad
    from mpidcl.network.schedule.topology import Topology


class Clock(Part, ABC):
    """A way of fitting schedules together; `[clock]` names it. `seed` is that of the experiment.

    Chance is allowed where every process draws the same: `numpy_generator(seed, agent, "purpose")`.
    """

    room = "clock"
    name: ClassVar[str] = ""
    """What exchanges and learners call it in their `clocks`. A clock whose meetings keep all rules of another
    one (both ends come, at one place in the order) takes the name of that."""
    units: ClassVar[tuple[CadenceUnit, ...]] = ("task", "epoch", "tick")
    """Units of a cadence that mean something to it: "second" only where there is a virtual time."""
    moments: ClassVar[tuple[str, ...]] = ("task start", "before", "after", "task end")
    """What an exchange may say in `when`."""
    words: ClassVar[TimeWords] = TASKS
    """How its schedule time is said to people."""
    by_mail: ClassVar[bool] = False
    """Whether frames arrive some time after they have left (`exchange.mail`); else two agents meet."""
    waits: ClassVar[bool] = True
    """Of a clock by mail: whether a tick waits for what is due. Else it takes what has come
    (`exchange.free_mail`), and its timetable ends with a farewell, as that of `free` does."""
    draws: ClassVar[bool] = False
    """Whether its timetables know rhythms with a `chance`: an exchange may then have a `share`."""

    def __init__(self, options: Options, seed: int, agents: Sequence[object] = ()) -> None:
        """`agents`: the options of each agent, where `[[agent]] clock` says other ones for some."""
        self.options, self.seed, self.agents = options, seed, agents

    def time(self, cadence: Cadence, epochs: int) -> Fraction:
        """A cadence in `units` as schedule time, for cuts and `--until`; a task has `epochs` epochs."""
        count = Fraction(cadence.count)
        return count if cadence.unit == "task" else count / epochs

    def absences_of(self, agent: int) -> Absences | None:
        """When an agent is away, where the clock knows of such times; None: never."""
        return None

    @abstractmethod
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
    ) -> Timetable:
        """The timetable of one agent.

        `ticks[a]` are the ticks per task of agent a, for every agent, and `rhythms` say when each exchange is
        due. `evaluate_every` is in ticks, or, as a fraction, schedule time (None: tested only at the end of a
        task). `cut_every` and `until` are schedule time (None: no cut but the one at the end; to the end).
        """

    def describe(self, table: Timetable, links: Sequence[LinkLoad]) -> list[str]:
        """What `mpidcl check` says beside ticks and meetings; `table` is that of any agent."""
        return []
