"""What is done to a run under a launcher, and the status that it should give."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from under_launchers.place import Cell, Place, front, network_of

Event = Callable[[Place], Cell]
PACE = "0.3"
"""Seconds per step that leave time for an event."""
NOT_FOR_IT = "-"
"""Stands in the table where a launcher has no such event."""


def straight(place: Place) -> Cell:
    """A run from its beginning to its end."""
    cell = place.end(place.start(), time.monotonic())
    cell.digest = place.has_digest()
    return cell


def resume(place: Place) -> Cell:
    """Stopped on purpose after the first task, and gone on with."""
    return place.went_on(place.end(place.start("--until", "1task"), time.monotonic()))


def wrong(place: Place) -> Cell:
    """A key that does not exist."""
    return place.end(place.start("--set", "learning.epoch=3"), time.monotonic())


def raises(place: Place) -> Cell:
    """An error in the user's own code, on the last rank alone."""
    return place.end(place.start(pace="raise"), time.monotonic())


def killed(place: Place) -> Cell:
    """The last rank is killed while it learns; the run can be gone on with."""
    job = place.start(pace=PACE)
    if early := place.learning(job):
        return early
    began = time.monotonic()
    if (rank := place.last_rank()) is not None:
        os.kill(rank, signal.SIGKILL)
        return place.went_on(place.end(job, began))
    place.close()
    job.terminate()
    place.end(job, began)
    return Cell(why_not="not tried: no rank on this machine")


def signalled(number: signal.Signals) -> Event:
    """The launcher gets a signal while the agents learn."""

    def event(place: Place) -> Cell:
        job = place.start(pace=PACE)
        if early := place.learning(job):
            return early
        before, began = place.cuts(), time.monotonic()
        os.kill(front(job.pid), number)
        cell = place.end(job, began)
        cell.saved = place.cuts() > before
        return place.went_on(cell)

    return event


def walltime(place: Place) -> Cell:
    """The time is nearly over."""
    return place.went_on(place.end(place.start("--walltime", "20s", pace="0.5"), time.monotonic()))


def node_lost(place: Place) -> Cell:
    """Nothing comes from the last node any more; the run goes on where it can."""
    if place.launcher.lose is None:
        return Cell(why_not=NOT_FOR_IT)
    job = place.start("--set", "network.deadline=20 s", pace=PACE)
    if early := place.learning(job):
        return early
    began, rank = time.monotonic(), place.last_rank()
    if rank is None or (network := network_of(rank)) is None:
        raise RuntimeError("no rank is found on the node that should be lost")
    place.lost.add(network)
    place.launcher = place.launcher.lose()
    return place.went_on(place.end(job, began))


EVENTS: dict[str, Event] = {
    "run": straight,
    "resume": resume,
    "wrong file": wrong,
    "rank raises": raises,
    "rank killed": killed,
    "SIGUSR1": signalled(signal.SIGUSR1),
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGINT": signalled(signal.SIGINT),
    "time limit": walltime,
    "node lost": node_lost,
}
