"""`mpidcl bench timetable`: what a clock's timetable costs, for one long task with a meeting at each tick.

Until the first event, the memory that it holds, each event, and what neighbours compare at the start.
"""

from __future__ import annotations

import time
import tracemalloc
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import TypedDict

from mpidcl.benchmarks.table import time_text
from mpidcl.experiment.network_table import Network
from mpidcl.experiment.options import Options
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.lockstep import Lockstep
from mpidcl.network.schedule.timetable import Rhythm, Timetable

TICKS, AGENTS = 100_000, 4
SHORTER = {"the same ticks": 0, "one tick less than its neighbours": 1}
ROUNDS = 5


class TimetableRow(TypedDict):
    """What is measured of one timetable: CPU seconds, and the most bytes until the first event."""

    bench: str
    neighbours: str
    ticks: int
    first_s: float
    event_s: float
    hash_s: float
    bytes: int


def measure() -> Iterator[TimetableRow]:
    """One row for neighbours with equal ticks, one for others: bytes, and CPU seconds of the best round."""
    for name, less in SHORTER.items():
        yield _row(name, timetable(less))


def timetable(less: int) -> Timetable:
    """Of agent 0 in a ring, which has so many ticks less than the others."""
    return Lockstep(Options(), 0).timetable(
        agent=0,
        topology=build_topology(Network(topology="ring"), AGENTS, 0),
        rhythms=(Rhythm("after", 1, 0, "all"),),
        ticks=[[TICKS - less], *[[TICKS]] * (AGENTS - 1)],
        evaluate_every=10,
        cut_every=Fraction(1),
    )


def _row(name: str, timetable: Timetable) -> TimetableRow:
    next(timetable.events())  # what an object remembers, it finds out once
    seconds: dict[str, list[float]] = {"first_s": [], "event_s": [], "hash_s": []}
    for _ in range(ROUNDS):
        began = time.process_time()
        events = timetable.events()
        next(events)
        first = time.process_time()
        count = deque(enumerate(events, 1), 1)[0][0]
        all_of_them = time.process_time()
        timetable.expected_hash(1)
        ended = time.process_time()
        seconds["first_s"].append(first - began)
        seconds["event_s"].append((all_of_them - first) / count)
        seconds["hash_s"].append(ended - all_of_them)
    return {
        "bench": "timetable",
        "neighbours": name,
        "ticks": TICKS,
        "first_s": min(seconds["first_s"]),
        "event_s": min(seconds["event_s"]),
        "hash_s": min(seconds["hash_s"]),
        "bytes": _held(timetable),
    }


def _held(timetable: Timetable) -> int:
    """The most bytes that there are at once until the first event."""
    tracemalloc.start()
    try:
        next(timetable.events())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def line(row: TimetableRow) -> str:
    """A row for a terminal."""
    times = (f"{what} {time_text(s):>8}" for what, s in (("first", row["first_s"]), ("each", row["event_s"])))
    held, compared = f"{row['bytes'] / 1024:.0f} KiB", time_text(row["hash_s"])
    return f"{row['neighbours']:<36}{'  '.join(times)}  hash {compared:>8}  held {held:>8}"
