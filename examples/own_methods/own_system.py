"""A whole system of your own in NumPy: agents fit lines to samples and share the coefficients.

No model, no memory and no torch: the run stays as small as what it computes. In this folder
`mpidcl report RUN --view own_system:LinesView` also says how far the coefficients agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.state import State
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Received
from mpidcl.experiment.file import Experiment
from mpidcl.learning.learner import Learner, Scores
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Message
from mpidcl.network.requests import Asking
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.record.measures import Measure
from mpidcl.record.tables import Tables
from mpidcl.stream.stream import Stream
from mpidcl.stream.tasks import StreamShape
from mpidcl.views.base import Sheet, View
from mpidcl.views.run import Run

FEATURES, SAMPLES, TASKS, TICKS, RATE = 8, 12, 3, 20, 0.05
Doubles = NDArray[np.float64]


class Samples(NamedTuple):
    """A task: x [samples, features], y [samples], and tests of the same line without noise."""

    x: Doubles
    y: Doubles
    test_x: Doubles
    test_y: Doubles


class Lines(Stream):
    """Every task is a line that all agents share; each agent sees a few noisy samples of its own."""

    shape = StreamShape((FEATURES,), heads=1, classes_per_head=1)
    ticks = (TICKS,) * TASKS
    gives = Samples

    def __init__(self, experiment: Experiment, agent: int) -> None:
        self.seed, self.agent = experiment.seed, agent

    def task(self, index: int) -> Samples:
        """Task `index`. Raises IndexError."""
        if not 0 <= index < TASKS:
            raise IndexError(f"a task should be between 0 and {TASKS - 1}. Found {index}.")
        line = numpy_generator(self.seed, EVERYBODY, f"line {index}").normal(size=FEATURES)
        own = numpy_generator(self.seed, self.agent, f"samples {index}")
        x, test_x = own.normal(size=(2, SAMPLES, FEATURES))
        return Samples(x, x @ line + own.normal(size=SAMPLES), test_x, test_x @ line)


class LineFit(Learner):
    """Gradient descent on the squared error; the coefficients of each task are a row of `lines`."""

    takes = Samples
    measures = (Measure("mse", "mean squared error", better="lower"),)

    def __init__(self, experiment: Experiment, agent: int, shape: Any) -> None:
        super().__init__(experiment, agent, shape)
        self.lines = np.zeros((TASKS, FEATURES))
        self.tasks: list[Samples] = []

    def begin_task(self, task: Samples) -> None:
        self.tasks.append(task)

    def learn(self, task: int, tick: int) -> Asking[None]:
        yield from ()
        x, y = self.tasks[task].x, self.tasks[task].y
        self.lines[task] -= RATE * x.T @ (x @ self.lines[task] - y) / len(y)

    def evaluate(self, upto: int) -> Asking[Scores]:
        yield from ()
        pairs = zip(self.tasks, self.lines, strict=False)
        return {"mse": np.array([((t.test_x @ line - t.test_y) ** 2).mean() for t, line in pairs])}

    def tables(self) -> Tables:
        return {"lines": {"coefficients": self.lines}}

    def digest(self) -> str:
        return hashlib.sha256(self.lines.tobytes()).hexdigest()

    def state(self) -> State:
        return {"lines": self.lines.copy(), "begun": len(self.tasks)}

    def load(self, state: State, task_of: Callable[[int], Any]) -> None:
        self.lines, self.tasks = state["lines"].copy(), [task_of(i) for i in range(int(state["begun"]))]


class HasLines(Protocol):
    """What the exchange needs of a learner."""

    lines: Doubles


class MeanLine(Exchange):
    """The current task's coefficients become the mean of one's own and the neighbours'."""

    @classmethod
    def needs(cls, options: Any) -> tuple[type, ...]:
        return (HasLines,)

    def begin_use(self, task: int) -> None:
        self.task = task

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        size = message_bytes(Message("line", arrays={"line": np.zeros(FEATURES)}))
        return ByteRange(size, size)

    def ask(self, link: LinkUse) -> Message | None:
        return Message("line", arrays={"line": self.learner.lines[self.task].copy()}, floats=FEATURES)

    def settle(self, received: list[Received]) -> None:
        lines = [item.message.arrays["line"] for item in received]
        self.learner.lines[self.task] = np.mean([self.learner.lines[self.task], *lines], axis=0)


class LinesView(View):
    """How far the agents' coefficients are apart: a line in the terminal, a figure on the page."""

    name = "lines"
    reads = ("lines",)

    def apart(self, run: Run) -> Doubles:
        lines = np.array([record.tables["lines"]["coefficients"] for record in run.records])
        return np.asarray(np.ptp(lines, axis=0).max(axis=1))

    def lines(self, run: Run) -> list[str]:
        return [f"coefficients agree between agents to {self.apart(run).max():.2g}"]

    def sheets(self, run: Run) -> list[Sheet]:
        return [Sheet("lines", "Agreement", "How far agents are apart, by task.", lambda: self.draw(run))]

    def draw(self, run: Run) -> Any:
        from mpidcl.views.figures.style import new_figure  # only here: runs need no matplotlib

        figure = new_figure(2.6)
        figure.subplots().bar([f"task {task}" for task in range(TASKS)], self.apart(run))
        return figure
