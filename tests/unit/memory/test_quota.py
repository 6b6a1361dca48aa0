"""The memory with a quota per class: never above its budget, fair to classes, and safe to edit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.experiment.units import Capacity
from mpidcl.memory.quota import ClassQuota, QuotaMemory, budget_rows, choose

SHAPE = (1, 2, 3)


def memory(budget: int = 30, classes: int = 6, seed: int = 0, **options: Any) -> QuotaMemory:
    return QuotaMemory(ClassQuota.Options(**options), budget, classes, SHAPE, np.random.default_rng(seed))


def task_rows(task: int, rows: int = 60, classes: int = 2) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Rows whose first pixel tells their label, and whose second one tells them apart."""
    rng = np.random.default_rng(task)
    labels = [task * classes + c for c in range(classes)]
    y = rng.choice(labels, rows)
    x = rng.random((rows, *SHAPE), dtype=np.float32)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = y / 1000, np.arange(rows) / 1000
    return x, y, labels


def filled(tasks: int = 3, **settings: Any) -> QuotaMemory:
    made = memory(**settings)
    for task in range(tasks):
        x, y, labels = task_rows(task)
        made.finish(task, x, y, labels)
    return made


def per_class(made: QuotaMemory) -> dict[int, int]:
    labels, counts = np.unique(made.take(made.rows).y, return_counts=True)
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))


# --- what is kept ---------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 40)), min_size=1, max_size=6),
    st.integers(0, 60),
    st.booleans(),
    st.floats(0.05, 1),
)
def test_it_never_holds_more_than_its_budget(
    tasks: list[tuple[int, int]], spare: int, shrink: bool, share: float
) -> None:
    classes = sum(count for count, _ in tasks)
    made = memory(classes + spare, classes, shrink=shrink, pool_share=share)
    first = 0
    for task, (count, rows) in enumerate(tasks):
        labels = list(range(first, first + count))
        y = np.random.default_rng(task).choice(labels, rows)
        made.finish(task, np.zeros((rows, *SHAPE), np.float32), y, labels)
        first += count
        quota = made.quota(first)
        assert len(made) <= made.budget and quota >= 1
        assert all(held <= quota for held in per_class(made).values())


def test_the_quota_shrinks_as_tasks_end() -> None:
    made, held = memory(30, 6), []
    for task in range(3):
        made.finish(task, *task_rows(task))
        held.append(per_class(made))
    assert held == [{0: 15, 1: 15}, {c: 7 for c in range(4)}, {c: 5 for c in range(6)}]


def test_a_part_of_a_memory_shrinks_when_tasks_of_others_end() -> None:
    made = memory()
    x, y, labels = task_rows(0)
    made.finish(0, x, y, labels, quota=9)
    assert set(per_class(made).values()) == {9}
    before = made.batch(5)
    made.shrink(4)
    assert set(per_class(made).values()) == {4}
    assert set(made.batch(8).index.tolist()) == set(made.rows.tolist())
    assert made.write(before.index, before.generation, before.x) == np.isin(before.index, made.rows).sum()


def test_without_shrinking_each_class_has_its_final_share_from_the_start() -> None:
    made = memory(30, 6, shrink=False)
    made.finish(0, *task_rows(0))
    assert per_class(made) == {0: 5, 1: 5} and made.quota(2) == made.quota(6) == 5


@pytest.mark.parametrize(("share", "quota"), [(0.5, 15), (0.25, 7), (1.0, 30)])
def test_one_class_alone_has_a_share_of_the_budget_at_most(share: float, quota: int) -> None:
    assert memory(30, 6, pool_share=share).quota(1) == quota


def test_rows_keep_their_pixels_label_and_task_and_none_is_there_twice() -> None:
    made = filled()
    rows = made.take(made.rows)
    assert np.array_equal(rows.task, rows.y // 2)
    assert np.allclose(rows.x[:, 0, 0, 0], rows.y / 1000)
    for task in range(3):
        x, _, _ = task_rows(task)
        numbers = np.rint(rows.x[rows.task == task, 0, 0, 1] * 1000).astype(int)
        assert len(set(numbers.tolist())) == len(numbers) == 10
        assert np.array_equal(rows.x[rows.task == task], x[numbers])


def test_what_stays_of_a_class_is_a_fair_choice() -> None:
    """Each of 12 rows of one class is among the 3 that stay after two tasks with probability 1/4."""
    counts = np.zeros(12)
    for seed in range(1200):
        made = memory(6, 2, seed, pool_share=1.0)
        x = np.zeros((12, *SHAPE), np.float32)
        x[:, 0, 0, 1] = np.arange(12)
        made.finish(0, x, np.zeros(12, np.int64), [0])
        made.finish(1, x, np.ones(12, np.int64), [1])
        kept = made.take(made.rows)
        counts[kept.x[kept.y == 0, 0, 0, 1].astype(int)] += 1
    assert counts.sum() == 3600 and np.abs(counts / 1200 - 0.25).max() < 0.07


def test_older_rows_stay_in_their_slots_and_new_rows_are_a_new_generation() -> None:
    made = memory()
    made.finish(0, *task_rows(0))
    before = made.take(made.rows)
    made.finish(1, *task_rows(1))
    after = made.take(made.rows)
    place = np.searchsorted(before.index, after.index)
    same = after.generation == before.generation[place]
    assert same.sum() == 14 and np.array_equal(after.x[same], before.x[place][same])
    assert np.array_equal(same, after.task == 0)


@pytest.mark.parametrize("quota", [0, 1, 3, 50])
def test_the_owner_of_a_task_chooses_at_most_a_quota_of_each_class(quota: int) -> None:
    y = np.array([4, 7, 4, 4, 9, 7, 4, 4])
    chosen = choose(y, [4, 7, 8], quota, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == len(chosen)
    assert [int((y[chosen] == c).sum()) for c in (4, 7, 8, 9)] == [min(5, quota), min(2, quota), 0, 0]


# --- batches --------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 12))
def test_each_row_comes_once_in_a_pass_and_never_twice_in_a_batch(count: int, passes: int) -> None:
    made = filled()
    given = []
    while len(given) < passes * len(made):
        index = made.batch(count).index.tolist()
        assert len(set(index)) == len(index) == min(count, len(made))
        given += index
    times = np.bincount(given[: passes * len(made)], minlength=len(made))
    assert times.sum() == passes * len(made)
    # A pass that ends inside a batch is over when the batch is: then a row may be one pass ahead.
    assert times.max() - times.min() <= (0 if len(made) % min(count, len(made)) == 0 else 2)


def test_passes_are_shuffled() -> None:
    made = filled()
    first, second = (made.batch(30).index.tolist() for _ in range(2))
    assert first != second and sorted(first) == sorted(second) == list(range(30))


def test_an_empty_memory_has_no_batch() -> None:
    with pytest.raises(ValueError, match="Found none: no task has ended"):
        memory().batch(4)


# --- editing --------------------------------------------------------------------------------------


def test_edited_rows_are_found_again_with_their_age_and_displacement() -> None:
    made = filled()
    batch = made.batch(8)
    assert made.write(batch.index, batch.generation, batch.x + 0.5) == 8
    assert made.write(batch.index[:3], batch.generation[:3], batch.x[:3] + 1) == 3
    assert np.array_equal(made.take(batch.index[3:]).x, batch.x[3:] + np.float32(0.5))
    assert made.age(batch.index).tolist() == [2] * 3 + [1] * 5
    wanted = np.array([1.0] * 3 + [0.5] * 5) * np.sqrt(6)
    assert np.allclose(made.displacement(batch.index), wanted, rtol=1e-6)
    assert np.array_equal(made.original(batch.index), batch.x)
    others = np.setdiff1d(made.rows, batch.index)
    assert not made.age(others).any() and not made.displacement(others).any()


def test_an_edited_row_whose_slot_was_given_to_another_is_dropped() -> None:
    made = filled(1)
    batch = made.take(made.rows)
    made.finish(1, *task_rows(1))
    between = made.take(made.rows)
    written = made.write(batch.index, batch.generation, np.zeros_like(batch.x))
    after = made.take(made.rows)
    assert written == 14 and (after.x[after.task == 0] == 0).all()
    assert np.array_equal(after.x[after.task == 1], between.x[between.task == 1])
    assert not made.age(after.index[after.task == 1]).any()


def test_originals_can_be_left_out() -> None:
    made = filled(keep_originals=False)
    with pytest.raises(ValueError, match="keep_originals = true"):
        made.displacement(made.rows)
    assert "original" not in made.state()["columns"]


# --- state ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [True, False])
def test_it_goes_on_from_its_state(keep: bool) -> None:
    made = filled(2, keep_originals=keep)
    batch = made.batch(7)
    made.write(batch.index, batch.generation, batch.x + 1)
    again = memory(seed=5, keep_originals=keep)
    again.load(made.state())
    for one in (made, again):
        one.finish(2, *task_rows(2))
    for _ in range(9):
        a, b = made.batch(8), again.batch(8)
        assert a.x.tobytes() == b.x.tobytes()
        assert all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("index", "generation", "y", "task"))
    assert np.array_equal(made.age(made.rows), again.age(again.rows))


def test_a_state_is_a_copy() -> None:
    made = filled()
    state = made.state()
    batch = made.take(made.rows)
    made.write(batch.index, batch.generation, batch.x * 0)
    again = memory()
    again.load(state)
    assert np.array_equal(again.take(again.rows).x, batch.x)


def test_a_state_of_another_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="`budget` should be 31 rows. Found 30"):
        memory(31).load(filled().state())


# --- wrong input ----------------------------------------------------------------------------------


def test_a_budget_below_one_row_per_class_is_refused() -> None:
    with pytest.raises(ExperimentError, match="at least 6 rows, one for each class. Found room for 5"):
        memory(5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.full(60, 9)}, "among 2, 3, the classes of the task. Found 9"),
        ({"x": np.zeros((60, 6), np.float32)}, r"should be \[60, 1, 2, 3\]. Found \[60, 6\]"),
        ({"labels": [0, 2, 3]}, "Found class 0 again, whose task has ended"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_changes(change: dict[str, Any], message: str) -> None:
    made = filled(1)
    before = made.take(made.rows)
    arguments = dict(zip(("x", "y", "labels"), task_rows(1), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        made.finish(1, *arguments.values())
    assert np.array_equal(made.take(made.rows).x, before.x)


@pytest.mark.parametrize(
    ("text", "rows"),
    [("30 rows per class", 3000), ("500 rows", 500), ("20 rows per task", 200), ("96 kB", 1000)],
)
def test_capacities_are_rows_for_all_classes_together(text: str, rows: int) -> None:
    assert budget_rows(Capacity.parse(text), classes=100, tasks=10, row_bytes=96) == rows


def test_a_share_of_the_rows_seen_is_refused() -> None:
    with pytest.raises(ExperimentError, match='rows or bytes with `policy = "class-quota"`.*Found "10.0 %"'):
        budget_rows(Capacity.parse("10 %"), 100, 10, 96)


def test_a_capacity_below_one_row_per_class_is_refused() -> None:
    with pytest.raises(ExperimentError, match="at least 100 rows, one for each class. Found room for 9"):
        budget_rows(Capacity.parse("9 rows"), 100, 10, 96)


def test_learners_whose_rows_come_one_by_one_are_told_so() -> None:
    with pytest.raises(ExperimentError, match="memory.policy.*as they come.*when it ends"):
        from_toml('name = "x"\nagents = 1\n[memory]\npolicy = "class-quota"')
