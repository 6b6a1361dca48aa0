"""Ptychography: diffraction patterns in, amplitude and phase of the object out; each task is another object.

A stand-in, without any file, for the sequence of views of one sample on which generative rehearsal was shown.
The network to be trained is that of PtychoNN (Cherukara et al. 2020, Applied Physics Letters 117, 044103).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np

from mpidcl.errors import ExperimentError
from mpidcl.experiment.part import Planned, Use
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.stream.ptychography.options import Drift, PtychographyOptions
from mpidcl.stream.ptychography.rows import Patterns, Recipe
from mpidcl.stream.stream import Stream
from mpidcl.stream.tasks import StreamShape, Task

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

IMAGES = 2
"""That answer a pattern: amplitude and phase."""


class PtychographyStream(Stream):
    """The objects of one agent: functions of (seed, agent, index), in whatever order they are asked for.

    Of the experiment seed, agents, stream and learning.epochs are read. Raises ExperimentError where an
    agent would have no row to train on.
    """

    Options = PtychographyOptions
    gives = Task
    learners = ("gradient",)
    makes_data = True
    ticks: tuple[int, ...] = ()
    shape: StreamShape = StreamShape((), 0, 0)

    def __init__(self, experiment: Experiment, agent: int) -> None:
        self.options = cast(PtychographyOptions, experiment.stream.options)
        self._seed, self._agent, self._agents = experiment.seed, agent, experiment.agents
        self._owner = agent if self.options.draw == "independent" else EVERYBODY
        size = self.options.size
        self.shape = StreamShape((1, size, size), 1, IMAGES * size * size, "domain")
        self.ticks = (experiment.learning.epochs,) * self.options.tasks
        if not self.rows_of_task(experiment.agents):
            raise ExperimentError(
                f"`stream.positions` should be larger: of {self.options.positions}^2 rows no row is left for"
                f" agent {agent} to train on. Raise it, or lower `stream.test_share` or"
                " `stream.validation_share`, or take fewer agents."
            )

    @classmethod
    def planned(cls, options: PtychographyOptions) -> Planned:
        """Tasks, and whether there are validation rows."""
        return Planned(options.tasks, unvalidated=None if options.validation_share else "validation_share")

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """A data set that nobody reads."""
        if use.mine.stream.dataset != "digits":
            yield f'note: stream.dataset = "{use.mine.stream.dataset}" is not read: the stream makes data'

    def rows_of_task(self, agents: int) -> int:
        """Training rows of the agent that has fewest."""
        rows = self.options.positions**2 - self._tests
        return self._training(rows // agents if self.options.draw == "iid" else rows)

    def task(self, index: int) -> Task:
        """Task `index`, counted from 0: the object of this number. Raises IndexError."""
        options = self.options
        if not 0 <= index < options.tasks:
            raise IndexError(f"a task should be between 0 and {options.tasks - 1}. Found {index}.")
        recipe = self._recipe(index)
        order = numpy_generator(self._seed, self._owner, f"rows {index}").permutation(options.positions**2)
        tests, rest = order[: self._tests], order[self._tests :]
        mine = np.array_split(rest, self._agents)[self._agent] if options.draw == "iid" else rest
        trained = self._training(len(mine))
        train, held, tested = (
            Patterns(recipe, rows) for rows in (mine[:trained], mine[trained:], np.sort(tests))
        )
        return Task(index, "ptychography", (), train, held, tested, head=0)

    def _recipe(self, index: int) -> Recipe:
        options = self.options
        return Recipe(
            self._seed,
            self._owner,
            index,
            options.size,
            options.positions,
            max(1, round(options.size * (1 - options.overlap))),
            options.size * self._drifted(options.correlation, index),
            options.size * self._drifted(options.probe_width, index),
            options.curvature,
        )

    def _drifted(self, drift: Drift, index: int) -> float:
        """Its value at task `index`: by one factor from task to task."""
        first, last = drift
        return float(first * (last / first) ** (index / max(1, self.options.tasks - 1)))

    @property
    def _tests(self) -> int:
        return max(1, round(self.options.positions**2 * self.options.test_share))

    def _training(self, rows: int) -> int:
        """Of so many rows of an agent those that are not for validation."""
        return rows - int(rows * self.options.validation_share)
