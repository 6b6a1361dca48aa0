"""`mpidcl bench timetable`: it measures whole timetables, whatever the ticks of the neighbours are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpidcl.benchmarks import timetable
from mpidcl.cli import main


def test_every_tick_has_a_meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timetable, "TICKS", 20)
    met = [sum(bool(e.uses) for e in timetable.timetable(less).events()) for less in (0, 1)]
    assert met == [20, 19 + 20 - 1]  # the last ones are at one time


def test_the_command_writes_what_it_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timetable, "TICKS", 20)
    with pytest.raises(SystemExit) as done:
        main(["bench", "timetable", "--json", str(tmp_path / "lines")])
    assert not done.value.code
    rows = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert [row["neighbours"] for row in rows] == list(timetable.SHORTER)
    printed = capsys.readouterr().out
    assert all(row["neighbours"] in printed and row["event_s"] >= 0 < row["bytes"] for row in rows)
