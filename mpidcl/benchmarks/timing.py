"""Contestants in turn, so that a drift of the machine meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from mpidcl.benchmarks.case import Work

ROUND_S = 0.04
"""Seconds that one contestant works per round, at least one call."""
PAUSE_S = 0.003
"""Between contestants: idle threads of a library spin for a while before they sleep."""


def in_turn(
    contestants: Mapping[str, Work],
    rounds: int,
    finish: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds per call of every contestant in every round. `finish` waits for work that a GPU still does.

    `clock`: `time.process_time` counts what this process worked, for work of one thread on a busy machine.
    """
    repeats = {name: _repeats(work, finish, clock) for name, work in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            time.sleep(PAUSE_S)
            seconds[name].append(_timed(work, repeats[name], finish, clock))
    return seconds


def ratio(first: list[float], second: list[float]) -> float:
    """Median over rounds of first / second: a slow moment of the machine meets both."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def _repeats(work: Work, finish: Callable[[], None], clock: Callable[[], float]) -> int:
    work()  # compiles, fills caches, touches memory
    once = _timed(work, 1, finish, clock)
    return max(1, min(100_000, int(ROUND_S / max(once, 1e-9))))


def _timed(work: Work, repeats: int, finish: Callable[[], None], clock: Callable[[], float]) -> float:
    finish()
    began = clock()
    for _ in range(repeats):
        work()
    finish()
    return (clock() - began) / repeats
