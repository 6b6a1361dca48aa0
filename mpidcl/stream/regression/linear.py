"""Linear tasks of groups whose truths are related: a benchmark whose answers are known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

from mpidcl.experiment.part import Planned, Use
from mpidcl.experiment.problems import Problem
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.stream.regression import fields
from mpidcl.stream.regression.base import GroupStream, group_count, samples_of
from mpidcl.stream.regression.noise import Noise
from mpidcl.stream.regression.options import LinearTasksOptions, Relation
from mpidcl.stream.regression.task import BLOCK, Doubles, RegressionTask

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

MOST_NUMBERS = 20_000_000
"""Of the truths of all tasks: 160 MB in each process."""
MOST_RELATED = 2000
"""Groups with a relation: its precision is a full matrix, whose factor takes their number cubed."""


class LinearTasksStream(GroupStream):
    """y = x'w_k + noise, for x unit Gaussian and the truth w_k of the agent's group k.

    Column by column the truths W [groups, features] are draws of a Gaussian Markov random field over the
    groups. A test row of a group has y = x'w_k + noise of the nominal size: the same rows for all agents of
    it, whatever their own noise, so the least mean squared error of each is about noise^2.
    """

    Options = LinearTasksOptions
    knows_truth = True

    def __init__(self, experiment: Experiment, agent: int) -> None:
        super().__init__(experiment, agent)
        self.options = cast(LinearTasksOptions, experiment.stream.options)
        options = self.options
        self.shape, self.ticks = self._shape(options.features), samples_of(options, options.tasks)
        self.noise = Noise.of(options, experiment.seed, agent, self.group)
        truth = len(self.groups), options.features, options.relation, options.rho, options.move
        self._truths = _truths(Recipe(experiment.seed, *truth))

    @classmethod
    def planned(cls, options: LinearTasksOptions) -> Planned:
        """How many tasks."""
        return Planned(options.tasks)

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """What `GroupStream` says, and truths for which there is no room."""
        yield from super().problems(use)
        groups, options = group_count(use.whole), use.options
        if groups is None or use.mine is not use.whole:
            return
        numbers = groups * options.features * options.tasks
        if numbers > MOST_NUMBERS:
            yield Problem(
                ("stream", "tasks"),
                f"should be fewer: groups x features x tasks should be at most {MOST_NUMBERS:,}."
                f" Found {groups:,} x {options.features:,} x {options.tasks:,}",
            )
        if groups > MOST_RELATED and options.relation != "independent":
            yield Problem(
                ("stream", "relation"),
                f'should be "independent" with more than {MOST_RELATED:,} groups. Found "{options.relation}"'
                f" with {groups:,}",
            )

    @property
    def precision(self) -> Doubles:
        """The precision [groups, groups] of which the truths were drawn."""
        return self._truths.precision

    def _task(self, index: int) -> RegressionTask:
        truth = self._truths.at(index)
        mine = truth[self.group]

        def block(number: int) -> tuple[Doubles, Doubles]:
            rng = numpy_generator(self._seed, self._agent, "rows", index, number)
            x = rng.standard_normal((BLOCK, self.options.features))
            return x, x @ mine + self.noise.block(index, number)

        rng = numpy_generator(self._seed, EVERYBODY, "test rows of a group", self.group, index)
        test_x = rng.standard_normal((self.options.test_rows, self.options.features))
        test_y = test_x @ mine + self.options.noise * rng.standard_normal(len(test_x))
        return RegressionTask(index, self.group, len(self.groups), block, test_x, test_y, truth)


class Recipe(NamedTuple):
    """All that the truths depend on."""

    seed: int
    groups: int
    features: int
    relation: Relation
    rho: float
    move: float


@lru_cache(maxsize=4)
def _truths(recipe: Recipe) -> fields.Moving:
    """Made once for all agents of a process."""

    def white(task: int) -> Doubles:
        rng = numpy_generator(recipe.seed, EVERYBODY, "truths", task)
        return rng.standard_normal((recipe.groups, recipe.features))

    if recipe.relation == "independent":
        return fields.Moving(None, recipe.move, white)
    adjacency = (fields.ring if recipe.relation == "ring" else fields.chain)(recipe.groups)
    return fields.Moving(fields.precision_of(adjacency, recipe.rho), recipe.move, white)
