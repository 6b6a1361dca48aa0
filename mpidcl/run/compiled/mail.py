"""The mail of an agent whose ticks are in the driver's hands."""

from __future__ import annotations

from collections.abc import Generator

from mpidcl.exchange.mail import Mail
from mpidcl.network.requests import Reach, Reply, Request
from mpidcl.network.schedule.timetable import Event


class ReachMail(Mail):
    """Sends and takes in nothing itself: it asks that all ticks before an event be over."""

    def hold(self, event: Event) -> Generator[Request, Reply, None]:
        """Wait for the driver."""
        yield Reach(event.moment)
