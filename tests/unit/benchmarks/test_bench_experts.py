"""`mpidcl bench experts`: contestants have as many operations for a row, learn, and rows can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpidcl.benchmarks import experts_step
from mpidcl.cli import main

ROW: dict[str, Any] = {"bench": "experts", "width": 64, "batch": 10, "name": "8 experts"}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts_step, "ROWS", 8)
    monkeypatch.setattr(experts_step, "WIDTHS", (4,))
    monkeypatch.setattr(experts_step, "BATCHES", (4,))


def test_the_dense_net_is_what_others_are_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts_step, "use_threads", lambda count: None)
    monkeypatch.setattr("mpidcl.benchmarks.timing.ROUND_S", 0.0)
    rows = list(experts_step.measure(rounds=1))
    names = [experts_step.DENSE, *(f"{n} experts" for n in experts_step.COUNTS), experts_step.PLAIN]
    assert [row["name"] for row in rows] == names
    assert rows[0]["times_dense"] == 1.0 and all(row["cpu_s"] > 0 for row in rows)


def test_rows_become_a_table() -> None:
    lines = experts_step.markdown([ROW | {"cpu_s": 0.0012, "times_dense": 1.25}])
    assert lines[0] == "| units | batch |  | a step | times dense |"
    assert lines[-1] == "| 64 | 10 | 8 experts | 1.20 ms | 1.25 |"


def test_the_command_writes_what_it_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ROW | {"cpu_s": 0.0012, "times_dense": 1.25}
    monkeypatch.setattr(experts_step, "measure", lambda rounds: iter([row]))
    with pytest.raises(SystemExit) as done:
        main(["bench", "experts", "--json", str(tmp_path / "lines")])
    assert not done.value.code and "1.20 ms" in capsys.readouterr().out
    assert '"times_dense": 1.25' in (tmp_path / "lines").read_text()
