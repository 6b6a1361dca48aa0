"""Progress that reads well in a terminal and in a batch log: whole lines, not too many."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from mpidcl.network.timetable import Event, Phase
from mpidcl.record.records import Evaluation

LEAST_SECONDS = 5.0
"""Between two lines about evaluations."""
STEP_SECONDS = 30.0
"""Between two lines about steps alone."""


class Progress:
    """Speaks for one agent of rank 0. A line at every end of a task and otherwise every few seconds."""

    def __init__(self, name: str, tasks: int, quiet: bool = False) -> None:
        self._name, self._tasks, self._quiet = name, tasks, quiet
        self._began: float | None = None
        self._first = 0.0
        self._said = 0.0

    def __call__(self, event: Event, found: Evaluation | None) -> None:
        """Hear of one evaluation (or a cut) and say a line when it is time for one."""
        if self._quiet:
            return
        now, done = time.monotonic(), float(event.moment.time)
        if self._began is None:
            self._began, self._first = now, done
        if found is None or event.moment.phase is not Phase.EVALUATE:
            return
        if now - self._said < LEAST_SECONDS and not done.is_integer():
            return
        self._said = now
        print(self._line(event, found, now - self._began, done), file=sys.stderr, flush=True)

    def _line(self, event: Event, found: Evaluation | None, passed: float, done: float) -> str:
        right = "" if found is None else f"accuracy on tasks so far {100 * found.mean:5.1f} %, "
        return (
            f"[{self._name}] task {event.task + 1}/{self._tasks} epoch {event.tick}: "
            f"{right}{_duration(passed)} passed{self._left(passed, done)}"
        )

    def _left(self, passed: float, done: float) -> str:
        if done <= self._first or passed < LEAST_SECONDS:  # sooner it is start-up, not progress
            return ""
        return f", about {_duration(passed / (done - self._first) * (self._tasks - done))} left"


class StepProgress(Progress):
    """The same for a stream that is counted in steps: `ticks` are those between two ends of tasks."""

    def __init__(self, name: str, ticks: Sequence[int], quiet: bool = False) -> None:
        super().__init__(name, sum(ticks), quiet)
        self._before = [sum(ticks[:segment]) for segment in range(len(ticks) + 1)]

    def __call__(self, event: Event, found: Evaluation | None) -> None:
        """Hear of one evaluation or step and say a line when it is time for one."""
        if self._quiet:
            return
        now, done = time.monotonic(), self._before[event.task] + event.tick
        if self._began is None:
            self._began = self._said = now
            self._first = done - 1
        ended = found is not None and event.moment.phase is Phase.EVALUATE
        if not ended and (event.moment.phase is not Phase.LEARN or now - self._said < STEP_SECONDS):
            return
        self._said = now
        print(self._line(event, found, now - self._began, done), file=sys.stderr, flush=True)

    def _line(self, event: Event, found: Evaluation | None, passed: float, done: float) -> str:
        right = "" if found is None else f": accuracy on the tasks just tested {100 * found.mean:5.1f} %"
        return (
            f"[{self._name}] step {done:.0f}/{self._tasks}{right}, {_duration(passed)} passed"
            f"{self._left(passed, done)}"
        )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"
