"""A small stream of samples for groups of linear learners, with models that are known: `TRUTH`."""

from __future__ import annotations

from typing import cast

import numpy as np
from pydantic import Field

from mpidcl.experiment.file import Experiment
from mpidcl.experiment.options import Options
from mpidcl.randomness import numpy_generator
from mpidcl.stream.regression.base import GroupStream
from mpidcl.stream.regression.task import BLOCK, Doubles, RegressionTask

TRUTH = np.array([[1.0, 2.0, 0.5], [1.0, 1.0, -0.5], [0.5, 2.0, 1.0], [-1.0, 0.0, 0.0]])
"""Models [4, 3] of the first groups; those of further ones repeat them."""


class Small(GroupStream):
    """y = x'w + noise, x Gaussian."""

    class Options(Options):
        """How many samples, tasks and test rows, and the noise."""

        samples: int = Field(default=200, ge=1, description="of a task")
        tasks: int = Field(default=1, ge=1, description="one after the other")
        tests: int = Field(default=20, ge=0, description="rows")
        noise: float = Field(default=0.5, ge=0, description="standard deviation")

    knows_truth = True

    def __init__(self, experiment: Experiment, agent: int) -> None:
        super().__init__(experiment, agent)
        self.options = cast(Small.Options, experiment.stream.options)
        self.shape = self._shape(TRUTH.shape[1])
        self.ticks = (self.options.samples,) * self.options.tasks

    def _task(self, index: int) -> RegressionTask:
        own, count = self.group, len(self.groups)
        truth = TRUTH[np.arange(count) % len(TRUTH)]

        def rows(number: int, purpose: str, who: int, at: int) -> tuple[Doubles, Doubles]:
            rng = numpy_generator(self._seed, who, purpose, index, at)
            x = rng.standard_normal((number, TRUTH.shape[1]))
            return x, x @ truth[own] + self.options.noise * rng.standard_normal(number)

        tests = rows(self.options.tests, "tests", own, 0)
        return RegressionTask(
            index, own, count, lambda at: rows(BLOCK, "samples", self._agent, at), *tests, truth
        )


class Unknown(Small):
    """The same stream, of which nobody says what is true."""

    knows_truth = False

    def _task(self, index: int) -> RegressionTask:
        task = super()._task(index)
        return RegressionTask(index, task.group, task.groups, task.block, task.test_x, task.test_y)
