"""The course of parallel tasks; records of parallel learning survive checkpoint, results and journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from parallel_records import alone, course, shared

from mpidcl.learning.parallel.course import ParallelCourse
from mpidcl.record.checkpoint import read_state, write_state
from mpidcl.record.journal import Journal
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.record.results import read_results, write_results


def assert_same(one: object, other: object) -> None:
    """Nested states are equal, NaN and dtypes included."""
    assert type(one) is type(other)
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("make", [shared, alone])
def test_records_survive_checkpoints_and_results(
    tmp_path: Path, make: Callable[[], list[AgentRecord]]
) -> None:
    made = make()
    write_results(tmp_path / "results.h5", made, [])
    for record, read in zip(made, read_results(tmp_path / "results.h5").records, strict=True):
        assert_same(read.state(), record.state())
        write_state(tmp_path / "state.h5", record.state())
        assert_same(AgentRecord.from_state(read_state(tmp_path / "state.h5")).state(), record.state())


def test_only_the_clock_is_under_timing(tmp_path: Path) -> None:
    made = shared()
    write_results(tmp_path / "one", made, [])
    made[0].tables["steps"]["wall_s"] *= 2
    write_results(tmp_path / "two", made, [])
    with h5py.File(tmp_path / "one") as one, h5py.File(tmp_path / "two") as two:
        names: list[str] = []
        one.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        differ = [name for name in names if one[name][()].tobytes() != two[name][()].tobytes()]
    assert differ == ["timing/steps/wall_s"]
    assert {"tables/course/first", "tables/steps/gram", "tables/gallery/original", "tested"} <= set(names)


def test_a_journal_says_null_for_what_was_not_tested(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "agent.jsonl", 0)
    rows = [Evaluation(0, 1, {"accuracy": (0.5, np.nan, 0.25)}), Evaluation(2, 1, {"accuracy": (np.nan,)})]
    for row in rows:
        journal.append(row)
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert [line["accuracy"] for line in lines] == [[0.5, None, 0.25], [None]]
    found = journal.read()
    assert [len(row.main) for row in found] == [3, 1]
    np.testing.assert_equal([row.main for row in found], [row.main for row in rows])


def test_means_leave_out_what_was_not_tested() -> None:
    row = Evaluation(2, 1, {"accuracy": (0.5, np.nan, 0.25)})
    assert row.mean == 0.375
    assert row.current == 0.25
    assert np.isnan(Evaluation(1, 0, {"accuracy": (np.nan,)}).mean)
    assert np.isnan(Evaluation(1, 0, {"accuracy": (0.5,)}).current)


def test_agents_that_share_a_model_say_so() -> None:
    assert [record.model for record in shared()] == [0] * 4
    assert [record.model for record in alone()] == [0, 1, 2]
    assert AgentRecord(5).model == 5


def test_schedule_time_in_steps() -> None:
    found = course()  # ends 39, 58, 96, 108
    assert found.bounds.tolist() == [0, 40, 59, 97, 109]
    assert [found.step(time) for time in (0, 0.5, 1, 1.5, 4)] == [0, 20, 40, 49.5, 109]
    together = ParallelCourse.planned([0, 0, 5], [9, 9, 12], [0, 1, 0])
    assert together.bounds.tolist() == [0, 10, 13]
    assert np.isnan(together.first).all()
    assert together.final.shape == (3, 2)


def test_the_page_names_every_dataset(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "report.md").read_text()
    write_results(tmp_path / "results.h5", shared(), [])
    with h5py.File(tmp_path / "results.h5") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    for name in names:
        group, _, last = name.rpartition("/")
        assert group.startswith("timing") or f"`{last}`" in page or f"/{last}`" in page, name
