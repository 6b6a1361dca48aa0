"""The class-balanced policy in a memory: equal shares by count, and the same after a checkpoint."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mpidcl.experiment.units import Capacity
from mpidcl.memory.balanced import ClassBalanced
from mpidcl.memory.buffer import Buffer, Column
from mpidcl.memory.grouped import Memory

X = Column("x", "float32", (1,))


def memory(capacity: str = "12 rows", seed: int = 0) -> Memory:
    return Memory(Capacity.parse(capacity), [X], ClassBalanced(), np.random.default_rng(seed))


def fill(own: Memory, task: int, head: int, labels: list[int]) -> None:
    y = np.array(labels)
    own.push(task, head, y, {"x": np.arange(len(y), dtype=np.float32)[:, None]})


def counts(own: Memory) -> dict[tuple[int, int], int]:
    rows = own.rows()
    return Counter(zip(rows["head"].tolist(), rows["y"].tolist(), strict=True))


def test_classes_share_the_room_however_many_rows_they_offer():
    own = memory()
    fill(own, 0, 0, [0] * 300)
    assert counts(own) == {(0, 0): 12}
    fill(own, 0, 0, [1] * 9)
    assert counts(own) == {(0, 0): 6, (0, 1): 6}
    fill(own, 1, 1, [0] * 50 + [1] * 50)  # labels of another head are other classes
    assert counts(own) == {(0, 0): 3, (0, 1): 3, (1, 0): 3, (1, 1): 3}


def test_a_rare_class_keeps_all_that_it_has():
    own = memory()
    rng = np.random.default_rng(0)
    for step in range(100):
        fill(own, 0, 0, rng.integers(0, 2, 4).tolist() + ([2] if step == 50 else []))
    assert counts(own)[0, 2] == 1 and max(counts(own).values()) <= 6


def test_each_buffer_has_a_table_of_its_own():
    own = memory("4 rows per task")
    for task in (0, 1):
        fill(own, task, 0, [0] * 20 + [1] * 20)
    rows = own.rows()
    found = Counter(zip(rows["task"].tolist(), rows["y"].tolist(), strict=True))
    assert found == {(task, label): 2 for task in (0, 1) for label in (0, 1)}


@pytest.mark.parametrize("capacity", ["12 rows", "4 rows per task"])
def test_it_goes_on_after_a_checkpoint(capacity):
    straight, first, second = memory(capacity), memory(capacity), memory(capacity, seed=9)
    for own in (straight, first):
        fill(own, 0, 0, [0, 1] * 20)
    second.load(first.state())
    for own in (straight, second):
        fill(own, 1, 1, [0, 2] * 20)
    assert all(np.array_equal(straight.rows()[name], second.rows()[name]) for name in straight.rows())


def test_rows_without_classes_are_refused():
    buffer = Buffer([X], 3, ClassBalanced(), np.random.default_rng(0))
    with pytest.raises(ValueError, match="come with their classes"):
        buffer.push({"x": np.zeros((2, 1), np.float32)})
