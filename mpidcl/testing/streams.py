"""What every stream must do."""

from __future__ import annotations

import numpy as np

from mpidcl.experiment import kinds
from mpidcl.stream.stream import Stream
from mpidcl.stream.tasks import Task
from mpidcl.testing.company import global_chances
from mpidcl.testing.trial import Tables, experiment_with, must


def check_stream(stream: type[Stream], tables: Tables | None = None) -> None:
    """Raises AssertionError where a stream is not one.

    `tables` as in `check_learner`. Held are: `shape` and `ticks` are known before any task is asked for and
    never change; tasks are functions of (seed, agent, number), in whatever order they are asked for, and end
    where `ticks` end; nothing draws from a generator that everybody shares.
    """
    experiment, name = experiment_with(stream, tables), stream.__name__
    chances = global_chances()
    for number in range(experiment.agents):
        mine = experiment.for_agent(number)
        made: list[Stream] = [kinds.resolve("stream", mine.stream.kind)(mine, number) for _ in range(2)]
        first, second = made
        ticks = tuple(first.ticks)
        must(
            ticks and all(isinstance(count, int) and count >= 0 for count in ticks),
            f"{name}.ticks should be whole numbers, one per task, at least one. Found {ticks}.",
        )
        must(ticks == tuple(second.ticks), f"{name}.ticks should depend on experiment and agent alone.")
        must(repr(first.shape) == repr(second.shape), f"{name}.shape should depend on the experiment alone.")
        forwards = [first.task(task) for task in range(len(ticks))]
        backwards = [second.task(task) for task in reversed(range(len(ticks)))][::-1]
        for task, (one, other) in enumerate(zip(forwards, backwards, strict=True)):
            _check_task(name, task, one, other)
        _check_end(name, first, len(ticks))
        must(ticks == tuple(first.ticks), f"{name}.ticks should not change when tasks are asked for.")
    must(
        global_chances() == chances,
        f"{name} should draw from generators of its own (mpidcl.randomness). A shared one has moved.",
    )


def _check_task(name: str, number: int, one: object, other: object) -> None:
    must(type(one) is type(other), f"{name}.task({number}) should always give one kind of task.")
    if not isinstance(one, Task) or not isinstance(other, Task):
        return
    must(one.index == number, f"{name}.task({number}).index should be {number}. Found {one.index}.")
    for part in ("train", "validation", "test"):
        mine, theirs = getattr(one, part), getattr(other, part)
        same = np.array_equal(mine.x(), theirs.x()) and np.array_equal(mine.y, theirs.y)
        must(same, f"{name}.task({number}).{part} should not depend on which tasks were asked for before.")


def _check_end(name: str, stream: Stream, tasks: int) -> None:
    try:
        stream.task(tasks)
    except IndexError:
        return
    raise AssertionError(f"{name}.task({tasks}) should raise IndexError: `ticks` has {tasks} tasks.")
