"""Where an agent's time goes, and how much memory its process took."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

PARTS = ("start_s", "learn_s", "meet_s", "wait_s", "evaluate_s", "checkpoint_s", "other_s")
"""What an agent's time is spent on; together they are its `wall_s`."""
REST = "other_s"
Running = tuple[str, bool] | None
"""The part that is counted, and whether its CPU time is; None before the start."""


class Stopwatch:
    """Seconds by part: `with watch("learn_s"): ...`. Every moment counts once, outside of all parts as REST.

    `wall_s` is the sum of the parts; `cpu_s` sums the CPU time of all parts but waiting.
    """

    def __init__(self) -> None:
        self._seconds = dict.fromkeys((*PARTS, "cpu_s", "wall_s"), 0.0)
        self._running: Running = None
        self._wall = self._worked = 0.0

    def start(self) -> None:
        """Begin to count."""
        self.turn_back((REST, True))

    @contextmanager
    def __call__(self, part: str, cpu: bool = True) -> Iterator[None]:
        before = self.turn_to(part, cpu)
        try:
            yield
        finally:
            self.turn_back(before)

    def turn_to(self, part: str, cpu: bool = True) -> Running:
        """Count time as `part` from now on; returns what it counted as before, for `turn_back`."""
        if part not in PARTS:
            raise KeyError(part)
        before = self._running
        self.turn_back((part, cpu))
        return before

    def turn_back(self, part: Running) -> None:
        """Count what has passed to the part that was running, and from now on to this one."""
        wall, running = time.perf_counter(), self._running
        works = running is not None and running[1]
        if running is not None:
            passed = wall - self._wall
            seconds = self._seconds
            seconds[running[0]] += passed
            seconds["wall_s"] += passed
        self._running, self._wall = part, wall
        if works != (part is not None and part[1]):
            self._count_work(works)

    def _count_work(self, works: bool) -> None:
        """CPU time costs a call of the system: it is asked for only where working begins or ends."""
        worked = time.process_time()
        if works:
            self._seconds["cpu_s"] += worked - self._worked
        self._worked = worked

    def give(self, source: str, target: str, wall: float, cpu: float) -> None:
        """Of what was counted as `source` so much was `target`: `wall` seconds, `cpu` of them at work."""
        self._seconds[source] -= wall
        self._seconds[target] += wall
        self._seconds["cpu_s"] += cpu

    def seconds(self) -> dict[str, float]:
        """All parts so far; they add up over resumed pieces of a run."""
        self.turn_back(self._running)
        if self._running is not None and self._running[1]:
            self._count_work(True)
        return dict(self._seconds)

    def load(self, seconds: Mapping[str, float]) -> None:
        """Go on from what `seconds` returned."""
        self._seconds |= {name: float(value) for name, value in seconds.items()}


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far, in bytes."""
    with suppress(OSError, ValueError, StopIteration):  # on Linux the other number begins with the parent's
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
