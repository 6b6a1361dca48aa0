"""A small parallel stream of digits and its learner, alone in a process."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from mpidcl.experiment.reading import from_toml
from mpidcl.learning.parallel.learner import ParallelLearner
from mpidcl.network.together.local import LocalCombining
from mpidcl.stream.parallel.stream import ParallelStream

COMMON = """
name = "parallel"
agents = AGENTS
seed = 5
[stream]
kind = "parallel"
dataset = "digits"
tasks = 4
classes_per_task = 2
train_per_class = 24
timeline = [0, 2, 3, 6]
[model]
kind = "mlp"
hidden = [16, 12]
dropout = 0.0
[memory]
capacity = "4 rows per class"
policy = "class-quota"
[learning]
kind = "parallel"
lr = 0.01
batch = 12
"""


def build(*sets: str) -> tuple[ParallelLearner, ParallelStream]:
    """The learner of one agent, with some keys of the file set, and its stream."""
    experiment = from_toml(COMMON.replace("AGENTS", "1"), list(sets))
    stream = ParallelStream(experiment, 0)
    return ParallelLearner(experiment, 0, stream.shape), stream


def finish(work: Any) -> Any:
    """What a generator returns that asks nothing."""
    try:
        asked = next(work)
    except StopIteration as stop:
        return stop.value
    raise AssertionError(f"it asked for {asked}")


def live(learner: ParallelLearner, stream: ParallelStream, first: int = 0, until: int | None = None) -> None:
    """Segments `first` to `until` of the stream."""
    for index in range(len(stream.ticks))[first:until]:
        learner.begin_task(stream.task(index))
        for tick in range(stream.ticks[index]):
            finish(learner.learn(index, tick))
        finish(learner.end_task())
        finish(learner.evaluate(index))


class Company:
    """The learners of several agents that train one model, asked and answered in turns in one process."""

    def __init__(self, agents: int, *sets: str) -> None:
        experiment = from_toml(COMMON.replace("AGENTS", str(agents)), list(sets))
        self.streams = [ParallelStream(experiment, agent) for agent in range(agents)]
        self.learners = [
            ParallelLearner(experiment, agent, stream.shape) for agent, stream in enumerate(self.streams)
        ]
        self._driver = LocalCombining(debug=True)

    def drive(self, works: list[Any]) -> None:
        """Run one generator of each agent to its end."""
        replies: dict[int, Any] = dict.fromkeys(range(len(works)))
        while True:
            asked: dict[int, Any] = {}
            for agent, work in enumerate(works):
                with suppress(StopIteration):
                    asked[agent] = work.send(replies[agent])
            if not asked:
                return
            assert len(asked) == len(works), "some agents asked and others did not"
            replies = self._driver.answer(asked)

    def step(self, segment: int, tick: int) -> None:
        """One step of all."""
        self.drive([learner.learn(segment, tick) for learner in self.learners])

    def live(self, first: int = 0, until: int | None = None) -> None:
        """Segments `first` to `until` of the stream."""
        for index in range(len(self.streams[0].ticks))[first:until]:
            for learner, stream in zip(self.learners, self.streams, strict=True):
                learner.begin_task(stream.task(index))
            for tick in range(self.streams[0].ticks[index]):
                self.step(index, tick)
            self.drive([learner.end_task() for learner in self.learners])
            self.drive([learner.evaluate(index) for learner in self.learners])
