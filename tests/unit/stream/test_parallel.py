"""Parallel streams: who has which rows when, that only seed and task decide, and that nothing leaks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from mpidcl.errors import ExperimentError
from mpidcl.stream.parallel.stream import ParallelStream
from mpidcl.stream.tasks import Rows, StreamShape, Task


def stream(
    agent: int = 0, agents: int = 1, seed: int = 0, batch: int = 16, dataset: str = "digits", **options: Any
) -> ParallelStream:
    experiment: Any = SimpleNamespace(
        seed=seed,
        agents=agents,
        learning=SimpleNamespace(batch=batch),
        stream=SimpleNamespace(dataset=dataset, options=ParallelStream.Options(**options)),
    )
    return ParallelStream(experiment, agent)


def same_rows(a: Rows, b: Rows) -> bool:
    return np.array_equal(a.index, b.index) and np.array_equal(a.y, b.y)


def same_task(a: Task, b: Task) -> bool:
    return same_rows(a.train, b.train) and same_rows(a.test, b.test) and a.classes == b.classes


def same_stream(a: ParallelStream, b: ParallelStream) -> bool:
    tasks = all(same_task(a.parallel_task(t), b.parallel_task(t)) for t in range(a.tasks))
    return tasks and a.timeline == b.timeline and a.ticks == b.ticks


# --- what a stream is a function of ---------------------------------------------------------------


@pytest.mark.parametrize("memory_agent", ["first", "own", "each"])
def test_agents_that_share_a_model_have_one_stream_however_many_they_are(memory_agent: str) -> None:
    alone = stream(memory_agent=memory_agent)
    for agents in (2, 4):
        for agent in range(agents):
            assert same_stream(alone, stream(agent, agents, memory_agent=memory_agent))


def test_rows_depend_on_the_seed_but_classes_and_starts_do_not() -> None:
    one, other = stream(seed=1), stream(seed=2)
    assert one.classes == other.classes and one.timeline == other.timeline
    a, b = one.parallel_task(0).train, other.parallel_task(0).train
    assert not np.array_equal(a.index, b.index) and set(a.index.tolist()) == set(b.index.tolist())


def test_classes_depend_on_the_label_set_and_starts_on_their_own_seed() -> None:
    assert len({stream(label_set=n).classes for n in range(4)}) == 4
    assert len({stream(timeline_seed=n, batch=4).timeline.starts for n in range(4)}) == 4


@pytest.mark.parametrize("draw", ["shared", "independent"])
def test_agents_with_models_of_their_own_have_all_tasks(draw: str) -> None:
    mine, theirs = (stream(agent, 3, spread="none", draw=draw, batch=4) for agent in (0, 2))
    assert (mine.classes == theirs.classes) == (mine.timeline == theirs.timeline) == (draw == "shared")
    assert not np.array_equal(mine.parallel_task(0).train.index, theirs.parallel_task(0).train.index)
    assert [theirs.owner(t) for t in range(theirs.tasks)] == [2] * 5 and theirs.memory_owner == 2


def test_tasks_do_not_depend_on_the_order_in_which_they_are_asked_for() -> None:
    forward, backward = stream(), stream()
    for task in (3, 0, 4, 0, 2, 1):
        backward.parallel_task(task)
    assert same_stream(forward, backward)


# --- classes and rows -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "data", "tasks", "sizes"),
    [
        ("emnist", {"split": "byclass"}, 5, [12, 12, 12, 13, 13]),
        ("emnist", {"split": "bymerge"}, 5, [9, 9, 9, 10, 10]),
        ("cifar100", {}, 10, [10] * 10),
        ("tiny-imagenet", {}, 10, [20] * 10),
        ("digits", {}, 3, [3, 3, 4]),
    ],
)
def test_all_classes_are_divided_as_evenly_as_possible(
    dataset: str, data: dict[str, str], tasks: int, sizes: list[int]
) -> None:
    made = stream(dataset=dataset, data=data, tasks=tasks)
    everything = [c for classes in made.classes for c in classes]
    assert [len(classes) for classes in made.classes] == sizes
    assert sorted(everything) == list(range(made.dataset.info.classes))


def test_classes_can_be_counted_in_the_file() -> None:
    assert [len(c) for c in stream(classes_per_task=1).classes] == [1] * 5
    uneven = stream(classes_per_task=[1, 4, 2], tasks=3)
    assert [len(c) for c in uneven.classes] == [1, 4, 2]


def test_every_row_of_a_task_comes_once_and_is_of_its_classes() -> None:
    made = stream()
    labels = made.dataset.load().train_y
    seen: set[int] = set()
    for t in range(made.tasks):
        task = made.parallel_task(t)
        rows = task.train.index.tolist()
        assert sorted(rows) == np.flatnonzero(np.isin(labels, task.classes)).tolist()
        assert np.array_equal(labels[rows], task.train.y) and task.labels == task.classes
        assert not seen & set(rows) and len(task.validation) == 0
        seen |= set(rows)
    assert len(seen) == len(labels)


def test_test_rows_are_of_the_test_part_and_of_the_classes() -> None:
    made = stream(test_per_class=3)
    labels = made.dataset.load().test_y
    for t in range(made.tasks):
        task = made.parallel_task(t)
        assert np.array_equal(labels[task.test.index], task.test.y)
        assert np.unique(task.test.y, return_counts=True)[1].tolist() == [3] * len(task.classes)
    assert sum(len(stream().parallel_task(t).test) for t in range(5)) == len(labels)


def test_rows_arrive_in_no_order_of_classes() -> None:
    y = stream().parallel_task(0).train.y
    assert (np.diff(y) != 0).mean() > 0.3


# --- steps ----------------------------------------------------------------------------------------


def test_batches_are_the_rows_in_order_and_only_the_last_is_short() -> None:
    made = stream(batch=16)
    for t in range(made.tasks):
        first, last = made.timeline.starts[t], made.timeline.ends[t]
        rows = np.arange(len(made.parallel_task(t).train))
        batches = [rows[made.batch_rows(t, step)] for step in range(first, last + 1)]
        assert np.array_equal(np.concatenate(batches), rows)
        assert all(len(b) == 16 for b in batches[:-1]) and 1 <= len(batches[-1]) <= 16


@pytest.mark.parametrize("offset", [-1, 1])
def test_a_task_has_no_batch_outside_its_steps(offset: int) -> None:
    made = stream()
    border = made.timeline.starts[1] if offset < 0 else made.timeline.ends[1]
    with pytest.raises(ValueError, match=rf"Found step {border + offset}"):
        made.batch_rows(1, border + offset)


def test_steps_can_be_limited_and_rows_that_never_come_are_left_out() -> None:
    made = stream(steps_per_task=3, batch=8)
    assert made.timeline.durations == (3,) * 5
    assert [len(made.parallel_task(t).train) for t in range(5)] == [24] * 5
    whole = stream(batch=8)
    assert np.array_equal(made.parallel_task(2).train.index, whole.parallel_task(2).train.index[:24])


def test_rows_can_be_limited() -> None:
    made = stream(train_per_class=10, batch=8)
    assert [len(made.parallel_task(t).train) for t in range(5)] == [20] * 5
    assert made.timeline.durations == (3,) * 5


def test_a_task_whose_rows_end_before_its_steps_has_empty_batches() -> None:
    made = stream(train_per_class=4, batch=8, durations=[3] * 5, timeline=[0, 0, 1, 1, 2])
    sizes = [made.batch_rows(2, step) for step in (1, 2, 3)]
    assert [s.stop - s.start for s in sizes] == [8, 0, 0]
    assert len(made.parallel_task(2).train.part(sizes[1])) == 0


def test_segments_are_the_tasks_of_the_timetable() -> None:
    made = stream(batch=8)
    segments = [made.task(i) for i in range(len(made.ticks))]
    assert [s.stop - s.first for s in segments] == list(made.ticks)
    assert sum(made.ticks) == made.timeline.steps
    assert sorted(t for s in segments for t in s.ended) == list(range(5))
    assert all(s.stream is made and s.index == i for i, s in enumerate(segments))
    for index in (-1, len(segments)):
        with pytest.raises(IndexError):
            made.task(index)


def test_given_durations_need_no_data_for_the_timetable(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("MPIDCL_DATA", str(tmp_path))
    made = stream(dataset="cifar100", tasks=10, durations=[40] * 10, timeline="cifar100-1")
    assert sum(made.ticks) == 166


# --- agents ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agents", "memory_agent", "owners", "memory"),
    [
        (1, "first", [0, 0, 0, 0, 0], 0),
        (1, "own", [0, 0, 0, 0, 0], 0),
        (2, "first", [0, 1, 0, 1, 0], 0),
        (2, "own", [0, 0, 0, 0, 0], 1),
        (4, "first", [0, 1, 2, 3, 0], 0),
        (4, "own", [0, 1, 2, 0, 1], 3),
        (8, "first", [0, 1, 2, 3, 4], 0),
        (4, "each", [0, 1, 2, 3, 0], 0),
    ],
)
def test_tasks_are_dealt_in_turn(agents: int, memory_agent: str, owners: list[int], memory: int) -> None:
    for agent in range(agents):
        made = stream(agent, agents, memory_agent=memory_agent)
        assert [made.owner(t) for t in range(5)] == owners and made.memory_owner == memory
        assert made.splits_memory == (memory_agent == "each")


@pytest.mark.parametrize("incremental", ["task", "class"])
def test_the_shape_has_one_head_with_all_classes(incremental: str) -> None:
    made = stream(incremental=incremental)
    assert made.shape == StreamShape((1, 8, 8), 1, 10, incremental)  # type: ignore[arg-type]
    assert made.online and made.shape.joint_tasks == 0


# --- wrong settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": 11}, "should share the 10 classes of digits"),
        ({"classes_per_task": 3}, "should share the 10 classes of digits.*Found tasks of 3, 3, 3, 3, 3"),
        ({"classes_per_task": [2, 2]}, "a list of 5, one for each task. Found a list of 2"),
        ({"timeline": [0, 1]}, "`stream.timeline` should have a number for each of 5 tasks. Found 2"),
        ({"durations": [4]}, "`stream.durations` should have a number for each of 5 tasks. Found 1"),
        ({"timeline": "cifar100-0"}, "`stream.timeline` should have a number for each of 5 tasks. Found 10"),
        ({"timeline": [0, 1, 2, 3, 900]}, "task 4 should start at step"),
        (
            {"train_per_class": 10_000},
            "Task 0 should have at least 20000 train rows.*`stream.train_per_class`",
        ),
        ({"test_per_class": 10_000}, "Task 0 should have at least 20000 test rows.*`stream.test_per_class`"),
        ({"dataset": "combined"}, "one data set for all agents.*mnist, kmnist, fashion-mnist"),
    ],
)
def test_settings_that_cannot_be_met_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        stream(**options).parallel_task(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes_per_task": 0}, "at least 1, or a list"),
        ({"classes_per_task": [2, 0]}, "at least 1, or a list"),
        ({"timeline": "cifar"}, "should be a list of first steps"),
        ({"timeline": [0, -1]}, "should be a list of first steps"),
        ({"durations": [0]}, "at least 1 for each task"),
        ({"incremental": "domain"}, "'class' or 'task'"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ParallelStream.Options(**options)


def test_minus_one_takes_a_number_back() -> None:
    names = ("classes_per_task", "durations", "steps_per_task", "train_per_class", "test_per_class")
    made = ParallelStream.Options(**dict.fromkeys(names, -1))
    assert made == ParallelStream.Options()


def test_an_index_that_is_no_task_is_refused() -> None:
    for task in (-1, 5):
        with pytest.raises(IndexError, match="between 0 and 4"):
            stream().parallel_task(task)
