"""Agents that only learn, all in one process, moment by moment: for checks of learners."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from inspect import isgenerator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import numpy as np

from mpidcl.base.state import State, state_of
from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.learning.learner import Learner, Scores
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Asking, Life
from mpidcl.record.checkpoint import read_state, write_state
from mpidcl.record.records import counted_by
from mpidcl.record.tables import checked
from mpidcl.stream.stream import Stream
from mpidcl.testing.trial import must

T = TypeVar("T")


class Moment(NamedTuple):
    """Something that happens to a learner: "begin", "learn", "evaluate" or "end"."""

    what: str
    task: int
    tick: int = 0


class Company:
    """The agents of an experiment, with their streams and learners; `told` is all that was measured."""

    def __init__(self, experiment: Experiment) -> None:
        self.streams: list[Stream] = []
        self.learners: list[Learner] = []
        for number in range(experiment.agents):
            mine = experiment.for_agent(number)
            stream = kinds.resolve("stream", mine.stream.kind)(mine, number)
            self.streams.append(stream)
            self.learners.append(kinds.resolve("learner", mine.learning.kind)(mine, number, stream.shape))
        self.moments = [list(moments(stream)) for stream in self.streams]
        self.told: list[str] = []

    @property
    def length(self) -> int:
        """Moments of the agent that has most."""
        return max(map(len, self.moments))

    def live(self, first: int = 0, stop: int | None = None) -> None:
        """Moments first .. stop - 1 of all agents."""
        for place in range(first, self.length if stop is None else stop):
            lives = {number: self._moment(number, place) for number in range(len(self.learners))}
            found = InProcessDriver().drive(lives)
            self.told += [f"{place} {number}: {found[number]}" for number in sorted(found)]

    def digests(self) -> list[str]:
        """Of all learners."""
        return [learner.digest() for learner in self.learners]

    def saved(self) -> list[tuple[State, State]]:
        """State and tables of every learner, as a file of a checkpoint gives them back."""
        return [(stored(state_of(one)), stored(dict(one.tables()))) for one in self.learners]

    def load(self, saved: list[tuple[State, State]]) -> None:
        """Go on from what `saved` gave."""
        for learner, stream, (state, tables) in zip(self.learners, self.streams, saved, strict=True):
            learner.load(state, stream.task)
            learner.load_tables(tables)

    def _moment(self, number: int, place: int) -> Life:
        learner, stream = self.learners[number], self.streams[number]
        if place >= len(self.moments[number]):
            return None
        what, task, tick = self.moments[number][place]
        if what == "begin":
            learner.begin_task(stream.task(task))
            return None
        if what == "learn":
            yield from generator(learner, "learn", learner.learn(task, tick))
        elif what == "end":
            yield from generator(learner, "end_task", learner.end_task())
        else:
            before = learner.digest()
            found = yield from generator(learner, "evaluate", learner.evaluate(task))
            must(learner.digest() == before, f"{type(learner).__name__}.evaluate should change nothing.")
            return scores_text(learner, found)
        return None


def generator(learner: Learner, name: str, work: Asking[T]) -> Asking[T]:
    """`work`, if it is one."""
    must(
        isgenerator(work),
        f"{type(learner).__name__}.{name} should be a generator: begin it with `yield from ()`, or yield"
        f" what it asks the others. Found one that returns {type(work).__name__}.",
    )
    return work


def moments(stream: Stream) -> Iterator[Moment]:
    """What happens to an agent with this stream, in order."""
    for task, ticks in enumerate(stream.ticks):
        yield Moment("begin", task)
        for tick in range(ticks):
            yield Moment("learn", task, tick)
        yield Moment("evaluate", task)
        yield Moment("end", task)


def scores_text(learner: Learner, scores: Scores) -> str:
    """All values, bit for bit. Raises AssertionError for scores that are not those of the measures."""
    name, wanted = type(learner).__name__, [measure.name for measure in learner.measures]
    must(
        sorted(scores) == sorted(wanted),
        f"{name}.evaluate should give its measures, {wanted}. Found {sorted(scores)}.",
    )
    for measure, values in scores.items():
        found = np.asarray(values, dtype=np.float64)
        must(
            found.ndim == 1 and not np.isinf(found).any(),
            f"{name}.evaluate should give one number per task, NaN where none. `{measure}`: {values}.",
        )
    return repr({measure: np.asarray(scores[measure], np.float64).tolist() for measure in wanted})


def stored(state: State) -> State:
    """A state written to a checkpoint's file and read again."""
    with TemporaryDirectory() as folder:
        write_state(Path(folder) / "state.h5", state)
        return read_state(Path(folder) / "state.h5")


def global_chances() -> list[str]:
    """The state of every generator that everybody shares, as text: nothing may draw from one."""
    found: list[object] = [random.getstate(), np.random.get_state()]  # noqa: NPY002
    if "torch" in sys.modules:
        import torch

        found.append(torch.get_rng_state().tolist())
    return [repr(one) for one in found]


def check_tables(learner: Learner) -> None:
    """Raises RecordError for tables and counters that no record can hold."""
    checked(learner.tables(), type(learner).__name__)
    counted_by(type(learner).__name__, learner.counters())
