"""Progress that reads well in a terminal and in a batch log: whole lines, not too many."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mpidcl.base.notices import say
from mpidcl.network.schedule.timetable import Event, Phase
from mpidcl.network.schedule.words import TimeWords
from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.records import Evaluation

LEAST_SECONDS = 5.0
"""Between two lines about evaluations."""
STEP_SECONDS = 30.0
"""Between two lines about steps alone."""


class Progress:
    """Speaks for one agent of rank 0. A line at every end of a task and otherwise every few seconds.

    `done` tells how many of `tasks` are done once an event is. `speaking` is called before each line. `tick`:
    what a tick is called.
    """

    def __init__(
        self,
        name: str,
        tasks: int,
        done: Callable[[Event], float],
        quiet: bool = False,
        speaking: Callable[[], None] | None = None,
        measure: Measure = ACCURACY,
        tick: str = "epoch",
    ) -> None:
        self._name, self._tasks, self._done, self._quiet = name, tasks, done, quiet
        self._whole = float(tasks)
        self._measure, self._tick = measure, tick
        self._speaking = speaking or (lambda: None)
        self._began = self._first = self._said = 0.0
        self._heard = False

    def __call__(self, event: Event, found: Evaluation | None) -> None:
        """Hear of one evaluation, cut or tick and say a line when it is time for one."""
        if self._quiet:
            return
        now, done = time.monotonic(), self._far(event)
        if not self._heard:
            self._heard = True
            self._start(now, done)
        if self._due(event, found, now - self._said):
            self._said = now
            passed = now - self._began
            line = f"{self._what(event, found)}{_duration(passed)} passed{self._left(passed, done)}"
            self._speaking()
            say(f"[{self._name}] {line}")

    def _far(self, event: Event) -> float:
        """How far the run is once an event is done, of `_whole`."""
        return self._done(event)

    def _start(self, now: float, done: float) -> None:
        self._began, self._first = now, done

    def _due(self, event: Event, found: Evaluation | None, since: float) -> bool:
        """Whether a line should be said, `since` seconds after the last one."""
        if found is None or event.moment.phase is not Phase.EVALUATE:
            return False
        return since >= LEAST_SECONDS or self._done(event).is_integer()

    def _what(self, event: Event, found: Evaluation | None) -> str:
        told = "" if found is None else f"{self._told('tasks so far', found)}, "
        return f"task {event.task + 1}/{self._tasks} {self._tick} {event.tick}: {told}"

    def _told(self, where: str, found: Evaluation) -> str:
        words, unit = self._measure.words, self._measure.unit
        value = f"{100 * found.mean:5.1f}" if unit == "%" else f"{found.mean:.4g}"
        return f"{words}{f' on {where}' * bool(where)} {value} {unit}".rstrip()

    def _left(self, passed: float, done: float) -> str:
        if done <= self._first or passed < LEAST_SECONDS:  # sooner it is start-up, not progress
            return ""
        return f", about {_duration(passed / (done - self._first) * (self._whole - done))} left"


class TimedProgress(Progress):
    """The same where each agent has times of its own for its tasks: how far the run is follows from the time.

    `end`: the schedule time at which it is over. The agent may have learned all long before the others: from
    then on a cut is told of where nothing was said for long.
    """

    def __init__(
        self,
        name: str,
        tasks: int,
        done: Callable[[Event], float],
        end: float,
        words: TimeWords,
        quiet: bool = False,
        speaking: Callable[[], None] | None = None,
        measure: Measure = ACCURACY,
        tick: str = "epoch",
    ) -> None:
        super().__init__(name, tasks, done, quiet, speaking, measure, tick)
        self._whole, self._words = end, words

    def _far(self, event: Event) -> float:
        return float(event.moment.time)

    def _due(self, event: Event, found: Evaluation | None, since: float) -> bool:
        if event.moment.phase is Phase.CUT:
            return since >= STEP_SECONDS and self._far(event) < self._whole
        return super()._due(event, found, since)

    def _what(self, event: Event, found: Evaluation | None) -> str:
        where = f"{self._words.at(self._far(event), 4)} of {self._words.at(self._whole, 4)}"
        return f"{where}, {super()._what(event, found)}"


class StepProgress(Progress):
    """The same for a stream that is counted in steps: `ticks` are those between two ends of tasks.

    `step`: what a tick is called. Where there is one task nothing is said of tasks.
    """

    def __init__(
        self,
        name: str,
        ticks: Sequence[int],
        quiet: bool = False,
        speaking: Callable[[], None] | None = None,
        measure: Measure = ACCURACY,
        step: str = "step",
    ) -> None:
        super().__init__(name, sum(ticks), self._steps, quiet, speaking, measure, step)
        self._before = [sum(ticks[:segment]) for segment in range(len(ticks) + 1)]

    def _steps(self, event: Event) -> float:
        return self._before[event.task] + event.tick

    def _start(self, now: float, done: float) -> None:
        self._began = self._said = now
        self._first = done - 1

    def _due(self, event: Event, found: Evaluation | None, since: float) -> bool:
        if event.moment.phase is Phase.EVALUATE:
            return found is not None
        return event.moment.phase is Phase.LEARN and since >= STEP_SECONDS

    def _what(self, event: Event, found: Evaluation | None) -> str:
        where = "" if found is not None and len(found.main) == 1 else "the tasks just tested"
        told = "" if found is None else f": {self._told(where, found)}"
        return f"{self._tick} {self._done(event):.0f}/{self._tasks}{told}, "


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"
