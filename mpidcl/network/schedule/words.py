"""How a clock says its schedule time to people: in progress, in messages, at axes."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class TimeWords(NamedTuple):
    """A place and a span of schedule time in words, with `{}` for the number; and what an axis is called.

    `together`: whether all agents are in the same task at a time, so that a mean over agents at that time is
    one over the same tasks.
    """

    place: str
    span: str
    axis: str
    unit: str
    together: bool = True

    def at(self, time: Fraction | float, digits: int = 6) -> str:
        """A place in the schedule.

        >>> TASKS.at(12.5), SECONDS.at(12.5)
        ('task 12.5', '12.5 s')
        """
        return self.place.format(f"{float(time):.{digits}g}")

    def after(self, time: Fraction | float) -> str:
        """So much of the schedule.

        >>> TASKS.after(3), SECONDS.after(3)
        ('3 tasks', '3 s')
        """
        return self.span.format(f"{float(time):g}")


TASKS = TimeWords("task {}", "{} tasks", "tasks learned (schedule time)", "task")
SECONDS = TimeWords("{} s", "{} s", "virtual time [s]", "second", together=False)
