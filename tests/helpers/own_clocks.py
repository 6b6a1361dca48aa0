"""Clocks of a user's own: one that keeps the rules of lockstep, and one with a time in seconds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mpidcl.exchange.parameters.exchange import ParametersExchange
from mpidcl.experiment.options import Options
from mpidcl.experiment.units import Cadence
from mpidcl.network.schedule.clock import Clock
from mpidcl.network.schedule.lockstep import Lockstep


class Own(Lockstep):
    """Lockstep by another name."""


class Seconds(Clock):
    """Its schedule time are seconds; nobody needs its timetable."""

    class Options(Options):
        """How fast."""

        rate: float = 1.0

    name = "seconds"
    units = ("tick", "second")

    def time(self, cadence: Cadence, epochs: int) -> Fraction:
        return Fraction(cadence.seconds if cadence.unit == "second" else cadence.count)

    def timetable(self, **words: Any) -> Any:
        raise NotImplementedError


class Patient(ParametersExchange):
    """An exchange that can be held in the meetings of both."""

    clocks = ("lockstep", "seconds")
