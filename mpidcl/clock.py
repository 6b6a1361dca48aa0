"""Where an agent's time goes, and how much memory its process took."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PARTS = ("learn_s", "meet_s", "wait_s", "evaluate_s", "checkpoint_s")


class Stopwatch:
    """Seconds by part: `with watch("learn_s"): ...`. `cpu_s` sums the CPU time of all parts but waiting."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys((*PARTS, "cpu_s", "wall_s"), 0.0)
        self._began: float | None = None

    def start(self) -> None:
        """Begin to count `wall_s`."""
        self._began = time.perf_counter()

    @contextmanager
    def __call__(self, part: str, cpu: bool = True) -> Iterator[None]:
        began, cpu_began = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._seconds[part] += time.perf_counter() - began
            if cpu:
                self._seconds["cpu_s"] += time.process_time() - cpu_began

    def seconds(self) -> dict[str, float]:
        """All parts so far; `wall_s` adds up over resumed pieces of a run."""
        running = 0.0 if self._began is None else time.perf_counter() - self._began
        return {**self._seconds, "wall_s": self._seconds["wall_s"] + running}

    def load(self, seconds: Mapping[str, float]) -> None:
        """Go on from what `seconds` returned."""
        self._seconds |= {name: float(value) for name, value in seconds.items()}


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
