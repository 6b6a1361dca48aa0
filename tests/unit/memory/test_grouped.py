"""The memory of an agent: what each unit of capacity means, and state."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl.experiment.units import Capacity
from mpidcl.memory.buffer import Column, row_type
from mpidcl.memory.grouped import GROUPING, LABEL, Memory
from mpidcl.memory.policies import Reservoir

X = Column("x", "float32", (3,))
ROW_BYTES = row_type((*GROUPING, LABEL, X)).itemsize


def memory(capacity: str, seed: int = 0) -> Memory:
    return Memory(Capacity.parse(capacity), [X], Reservoir(), np.random.default_rng(seed))


def fill(own: Memory, task: int, count: int = 40, head: int | None = None, labels: int = 2) -> None:
    y = np.arange(count) % labels
    x = np.column_stack([np.full(count, task), y, np.arange(count)]).astype(np.float32)
    own.push(task, task if head is None else head, y, {"x": x})


def counts(own: Memory) -> dict[int, int]:
    tasks, numbers = np.unique(own.rows()["task"], return_counts=True)
    return dict(zip(tasks.tolist(), numbers.tolist(), strict=True))


def test_rows_per_task():
    own = memory("7 rows per task")
    for task in range(3):
        fill(own, task)
    assert counts(own) == {0: 7, 1: 7, 2: 7}


def test_rows_per_class_are_balanced_and_shared_by_tasks_of_one_head():
    own = memory("5 rows per class")
    fill(own, 0, labels=3)
    assert np.bincount(own.rows()["y"]).tolist() == [5, 5, 5]
    fill(own, 1, labels=3)
    assert len(own) == 30
    shared = memory("5 rows per class")
    for task in range(4):
        fill(shared, task, head=0, labels=3)
    assert len(shared) == 15 and len(counts(shared)) > 1


def test_rows_and_bytes_are_one_room_for_everything():
    for text in ("12 rows", f"{12 * ROW_BYTES + 3} B"):
        own = memory(text)
        for task in range(6):
            fill(own, task)
        assert len(own) == 12 and len(counts(own)) >= 3


def test_percent_is_a_share_of_each_task():
    own = memory("10 %")
    fill(own, 0, count=40)
    fill(own, 1, count=120)
    assert counts(own) == {0: 4, 1: 12}


def test_rows_keep_their_task_head_and_label():
    own = memory("9 rows")
    for task in range(4):
        fill(own, task, head=task + 10)
    found = own.rows()
    assert (found["head"] == found["task"] + 10).all()
    assert (found["x"][:, 0] == found["task"]).all() and (found["x"][:, 1] == found["y"]).all()
    some = own.rows(lambda task: task != 2)
    assert 2 not in some["task"] and len(some["y"]) == 9 - counts(own).get(2, 0)
    assert (own.task_rows(2)["task"] == 2).all()


def test_an_empty_memory_has_empty_columns():
    found = memory("3 rows per task").rows()
    assert found["x"].shape == (0, 3) and found["y"].dtype == np.int64


@pytest.mark.parametrize("capacity", ["7 rows per task", "5 rows per class", "12 rows", "10 %", "1 KiB"])
def test_a_loaded_memory_goes_on_like_the_saved_one(capacity):
    own, other = memory(capacity), memory(capacity, seed=9)
    fill(own, 0)
    fill(own, 1)
    other.load(own.state())
    for each in (own, other):
        fill(each, 1)
        fill(each, 2)
    for name, column in own.rows().items():
        np.testing.assert_array_equal(column, other.rows()[name])
