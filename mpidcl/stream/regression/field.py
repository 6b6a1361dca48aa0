"""A temperature field measured by sensors: each group has a region of it, and fits a quadratic there.

The setting of "Distributed Networked Multi-task Learning" (Hong and Garcia, arXiv 2410.03403) as
reconstructed: of its experiments we know little more than that the field is a Gaussian Markov random field.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from mpidcl.errors import ExperimentError
from mpidcl.experiment.part import Planned, Use
from mpidcl.experiment.problems import Problem
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.stream.regression import fields
from mpidcl.stream.regression.base import GroupStream, group_count, samples_of
from mpidcl.stream.regression.grid import FEATURES, LEAST, make_grid
from mpidcl.stream.regression.noise import Noise
from mpidcl.stream.regression.options import FieldOptions
from mpidcl.stream.regression.task import BLOCK, Doubles, RegressionTask

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class FieldStream(GroupStream):
    """y = field(cell) + noise at cells where the agent has sensors; x = (1, u, v, u^2, v^2, uv) of the cell.

    The truth of a group is the least-squares fit of the noise-free field over all cells of its region: what a
    linear model can reach. Its test rows are these cells with the noise-free field, so the test error is that
    of the map, and even the truth has some.
    """

    Options = FieldOptions
    knows_truth = True

    def __init__(self, experiment: Experiment, agent: int) -> None:
        super().__init__(experiment, agent)
        options = self.options = cast(FieldOptions, experiment.stream.options)
        if wrong := _misfit(options, len(self.groups)):
            raise ExperimentError(f"`stream.{wrong.key[-1]}` {wrong.sentence}.")
        self.shape, self.ticks = self._shape(FEATURES), samples_of(options, options.tasks)
        self.noise = Noise.of(options, experiment.seed, agent, self.group)
        self.grid = make_grid(options.side, options.regions, len(self.groups), options.coordinates)
        self._fields = _fields(Recipe(experiment.seed, options.side, options.rho, options.move))
        cells = self.grid.cells(self.group)
        placed = numpy_generator(experiment.seed, agent, "sensors").permutation(cells)
        self.sensors = np.sort(placed[: options.sensors])

    @classmethod
    def planned(cls, options: FieldOptions) -> Planned:
        """How many tasks."""
        return Planned(options.tasks)

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """What `GroupStream` says, and regions that are not as many as groups."""
        yield from super().problems(use)
        groups = group_count(use.whole)
        if groups is not None and use.mine is use.whole and (wrong := _misfit(use.options, groups)):
            yield wrong

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """A data set that nobody reads, and regions too small for a quadratic."""
        yield from super().notes(use)
        options, groups = use.options, group_count(use.whole)
        parts = 2 if options.regions == "quadrants" else groups
        if parts and (rows := options.side // parts) < LEAST:
            yield (
                f"note: regions of the field with {rows} rows do not tell v from v^2: of the models that fit"
                " as well, the truth is the smallest. A larger stream.side has larger regions"
            )

    def field(self, task: int) -> Doubles:
        """The noise-free field [side, side] of a task."""
        return self._fields.at(task).reshape(self.options.side, self.options.side)

    def estimated(self, models: Doubles) -> Doubles:
        """The field [side, side] that the models [groups, 6] of all groups say."""
        return self.grid.estimated(models)

    def _task(self, index: int) -> RegressionTask:
        field = self.field(index)
        heat, x, sensors = field.ravel(), self.grid.x, self.sensors

        def block(number: int) -> tuple[Doubles, Doubles]:
            rng = numpy_generator(self._seed, self._agent, "rows", index, number)
            cells = sensors[rng.integers(len(sensors), size=BLOCK)]
            return x[cells], heat[cells] + self.noise.block(index, number)

        mine = self.grid.cells(self.group)
        truth = self.grid.fitted(field)
        return RegressionTask(index, self.group, len(self.groups), block, x[mine], heat[mine], truth)


def _misfit(options: FieldOptions, groups: int) -> Problem | None:
    """Regions that are not as many as groups."""
    if options.regions == "quadrants" and groups != 4:
        found = f'should be "stripes" unless there are 4 groups. Found "quadrants" with {groups}'
        return Problem(("stream", "regions"), found)
    if options.regions == "stripes" and groups > options.side:
        found = f"should be at least {groups}, a row for the stripe of each group. Found {options.side}"
        return Problem(("stream", "side"), found)
    return None


class Recipe(NamedTuple):
    """All that the fields depend on."""

    seed: int
    side: int
    rho: float
    move: float


@lru_cache(maxsize=4)
def _fields(recipe: Recipe) -> fields.Moving:
    """Made once for all agents of a process."""

    def white(task: int) -> Doubles:
        return numpy_generator(recipe.seed, EVERYBODY, "field", task).standard_normal((recipe.side**2, 1))

    return fields.Moving(fields.precision_of(fields.grid(recipe.side), recipe.rho), recipe.move, white)
