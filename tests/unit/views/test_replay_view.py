"""The view of replay: numbers of a step, whose rows came, what is held."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from mpidcl.learning.replay_log import FILL, PARTS, PASSES
from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import png, styled
from mpidcl.views.replay.figures import held
from mpidcl.views.replay.times import TIMES, replayed, tasks_replayed
from mpidcl.views.replay.view import ReplayView
from mpidcl.views.run import Run


def table(**changed: Any) -> dict[str, Any]:
    """Two passes of each of two tasks, 10 steps of 10 ms each."""
    times = {f"{part}_s": np.array(4 * [0.01]) for part in PARTS} | {"train_s": np.array(4 * [0.05])}
    return {
        "task": np.array([0, 0, 1, 1]),
        "steps": np.array(4 * [10]),
        "asked": np.array(4 * [40]),
        "came": np.array([0, 40, 40, 40]),
        "given": np.array([[0, 0], [40, 0], [30, 10], [10, 30]]),
        **times,
        "late_s": np.array(4 * [0.004]),
        "wait_p99_s": np.array([0.001, 0.002, 0.003, 0.002]),
        **changed,
    }


def record(number: int, tables: dict[str, Any]) -> AgentRecord:
    return AgentRecord(number, 1, [], [], tables, {}, {}, 0, "")


def fill(rows: list[tuple[int, int, int, int]]) -> dict[str, Any]:
    return dict(
        zip(("task", "head", "label", "rows"), np.array(rows, np.int64).reshape(-1, 4).T, strict=True)
    )


def test_waits_for_the_slowest_agent_are_no_cost_of_replay():
    found = replayed(record(0, {PASSES: table()}))
    assert found.steps == 40 and found.wait_p99_s == 0.003
    assert found.seconds.keys() == TIMES.keys()
    assert found.whole_s == pytest.approx(0.4)
    assert found.overhead == pytest.approx((0.04 + 0.024) / 0.4)


def test_rows_of_every_task_are_counted_over_agents():
    other = table(given=np.array([[0], [40], [0], [0]]))  # has given rows of one task alone
    tasks, shares = tasks_replayed([record(0, {PASSES: table()}), record(1, {PASSES: other}), record(2, {})])
    assert tasks == [0, 1]
    assert shares.tolist() == [[1, 0], [0.5, 0.5]]
    none = table(given=np.zeros((4, 0), np.int64))
    assert np.isnan(tasks_replayed([record(0, {PASSES: none})])[1]).all()


def test_what_is_held_is_that_of_the_last_task():
    one = record(0, {FILL: fill([(0, 0, 3, 9), (1, 0, 3, 4), (1, 0, 5, 6)])})
    nothing = record(1, {})
    names, rows = held([one, nothing])
    assert names == ["3", "5"] and rows.tolist() == [[4, 6], [0, 0]]
    heads = record(0, {FILL: fill([(1, 0, 1, 4), (1, 1, 1, 6)])})
    assert held([heads])[0] == ["0.1", "1.1"]
    assert held([record(0, {FILL: fill([(1, 0, -1, 4)])})])[0] == ["all"]


def test_tile_and_figures():
    tables = {PASSES: table(), FILL: fill([(1, 0, 3, 4), (1, 0, 5, 6)])}
    run = cast(Run, SimpleNamespace(records=[record(0, tables), record(1, tables), record(2, {})]))
    (tile,) = ReplayView().tiles(run)
    assert (tile.number, tile.small) == ("16", "%") and "below 3 ms" in tile.words
    sheets = ReplayView().sheets(run)
    assert [sheet.name for sheet in sheets] == ["replay-time", "replay-tasks", "replay-fill"]
    with styled():
        for sheet in sheets:
            figure = sheet.draw()
            assert figure is not None and png(figure)
    empty = {PASSES: table(given=np.zeros((4, 2), np.int64))}
    run = cast(Run, SimpleNamespace(records=[record(0, empty)]))
    assert [sheet.name for sheet in ReplayView().sheets(run)] == ["replay-time"]
