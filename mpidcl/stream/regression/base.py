"""What our regression streams share: groups, ticks, and what may not differ between agents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.network.schedule.groups import groups_of
from mpidcl.stream.regression.options import SampleOptions
from mpidcl.stream.regression.stream import RegressionStream
from mpidcl.stream.regression.task import RegressionTask
from mpidcl.stream.tasks import StreamShape

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

OWN = {"samples"}
"""Options that may differ between agents: an agent that ticks more often needs more samples."""


class GroupStream(RegressionStream):
    """Samples of one agent. Agents of a group learn one task: they share the truth, and no row or noise.

    groups: who is in which group; group: that of this agent
    """

    segment, step = "task", "sample"
    makes_data = True
    grows: ClassVar[tuple[str, ...]] = ("samples", "tasks")
    ticks: tuple[int, ...] = ()
    shape: StreamShape = StreamShape((), 0, 0)

    def __init__(self, experiment: Experiment, agent: int) -> None:
        self._seed, self._agent = experiment.seed, agent
        self._network = experiment.network
        self.groups = groups_of(experiment.network, experiment.agents)
        self.group = int(self.groups.of[agent])

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """Agents whose tasks would not be those of their group."""
        if use.mine is use.whole:
            for number, rule in enumerate(use.whole.agent):
                for key in sorted((rule.stream or {}).keys() - OWN):
                    yield Problem(
                        ("agent", number, "stream", key),
                        f'should not be there with stream.kind = "{use.whole.stream.kind}", where only'
                        " `samples` may differ between agents: those of a group share a task",
                    )
        elif use.mine.stream.kind != use.whole.stream.kind:
            yield Problem((*use.key, "kind"), "should be that of all agents: those of a group share a task")

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """A data set that nobody reads."""
        if use.mine.stream.dataset != "digits":
            yield (
                f'note: stream.dataset = "{use.mine.stream.dataset}" is not read by stream.kind ='
                f' "{use.mine.stream.kind}"'
            )

    def task(self, index: int) -> RegressionTask:
        """Task `index`, counted from 0. Raises IndexError."""
        if not 0 <= index < len(self.ticks):
            raise IndexError(f"a task should be between 0 and {len(self.ticks) - 1}. Found {index}.")
        return self._task(index)

    @abstractmethod
    def _task(self, index: int) -> RegressionTask:
        """A task that there is."""

    def _shape(self, features: int) -> StreamShape:
        return StreamShape((features,), 1, 1, "domain")


def samples_of(options: SampleOptions, tasks: int) -> tuple[int, ...]:
    """Ticks of each task."""
    return (options.samples,) * tasks


def group_count(experiment: Experiment) -> int | None:
    """How many groups an experiment has; None where its groups are wrong, which others say."""
    network = experiment.network
    if network.topology != "groups":
        return experiment.agents
    table = network.groups
    if table is None:
        return 1
    return None if next(table.problems(experiment.agents), None) else len(table.split(experiment.agents))
