"""`mpidcl bench linear` measures what it says: three ways to let the same agents tick."""

from __future__ import annotations

from mpidcl.benchmarks import linear_run


def test_a_row_for_each_size_and_way(monkeypatch):
    monkeypatch.setattr(linear_run, "TICKS", dict.fromkeys(linear_run.TICKS, 320))
    rows = list(linear_run.measure(1, (8,)))
    assert [(row["bench"], row["agents"], row["way"]) for row in rows] == [
        ("linear", 8, "compiled"), ("linear", 8, "lives"), ("linear", 8, "heap"),
    ]  # fmt: skip
    assert all(row["ticks_per_s"] > 0 for row in rows)
    told = linear_run.line({**rows[0], "ticks_per_s": 1234567.0})
    assert told == "    8 agents, compiled    1,234,567 ticks/s"


def test_the_plain_loop_learns():
    _, models = linear_run.learn_by_heap(8, 400)
    assert abs(models - linear_run.TRUTH).max() < 0.3
