"""The commands beside `run`: check, data, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest
from command_line import status

from mpidcl.errors import EXIT_WRONG_INPUT


def test_check_prints_the_resolved_experiment(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("check", small, "--set", "network.topology=complete") == 0
    text = capsys.readouterr().out
    assert 'topology = "complete"' in text
    assert "# timetable" in text


IDLE = {
    "agents=1": "there is no link.",
    "exchange.0.every=9 epochs": "no task from 1 on has 9 epochs.",
    'network.link=[{class="far", from=[0], to=[0]}]': 'there is no link of class "far".',
}


@pytest.mark.parametrize("change", IDLE)
def test_an_exchange_that_never_happens_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    file = tmp_path / "idle.toml"
    rule = '[[exchange]]\nkind = "parameters"\nwhen = "after"\nevery = "2 epochs"\n'
    file.write_text('name = "idle"\nagents = 3\n[learning]\nepochs = 4\n' + rule)
    links = ("--set", "exchange.0.links=far") if "far" in change else ()
    assert status("check", file, "--set", change, *links) == 0
    assert f"[[exchange]] 0 (parameters) never happens: {IDLE[change]}" in capsys.readouterr().out
    assert status("check", file) == 0
    assert "never" not in capsys.readouterr().out


def test_a_file_of_links_that_another_topology_does_not_read(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("check", small, "--set", "network.file=edges") == 0
    note = 'note: network.file is not read, because the topology is "ring".'
    assert note in capsys.readouterr().out.splitlines()


def test_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("check", "--schema") == 0
    assert "[network.conditions]" in capsys.readouterr().out


def test_data_list_and_verify(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("data", "list") == 0
    text = capsys.readouterr().out
    assert "digits" in text
    assert "embedded" in text
    (combined,) = (line for line in text.splitlines() if line.startswith("combined"))
    assert "210,000" in combined  # three sets of 70,000
    assert status("data", "verify", "digits") == 0
    assert "WRONG" not in capsys.readouterr().out


def test_verify_of_a_wrong_file_is_wrong_input(monkeypatch: pytest.MonkeyPatch) -> None:
    from mpidcl.stream.datasets import verify

    monkeypatch.setattr(verify, "verify", lambda name: [verify.Check("file", False, "short")])
    assert status("data", "verify", "digits") == EXIT_WRONG_INPUT


def test_verify_looks_at_what_it_was_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> NoReturn:
        raise AssertionError("every data set was looked at")

    monkeypatch.setattr("mpidcl.stream.datasets.verify.listing", none)
    assert status("data", "verify", "digits") == 0


def test_fetch_of_an_embedded_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("data", "fetch", "digits") == 0
    assert "nothing to fetch" in capsys.readouterr().out


def test_bench_starts_its_ranks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[Any] = []
    monkeypatch.setattr("mpidcl.launch.start.launch", lambda *call: calls.append(call) or 0)
    assert status("bench", "ring") == 0
    assert status("bench", "exchange", "-n", "4", "--json", "b.jsonl") == 0
    assert calls == [(["bench", "ring"], 4), (["bench", "exchange", "--json", "b.jsonl"], 4)]


def test_bench_sees_before_it_measures_that_its_lines_can_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("bench", "ring", "--json", tmp_path / "none" / "lines") == EXIT_WRONG_INPUT
    assert "--json should be a file that can be written" in capsys.readouterr().err


def test_data_that_are_not_here_are_said_before_a_run_needs_them(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPIDCL_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path))
    assert status("check", small) == 0
    assert "# data\ndigits: part of scikit-learn\n" in capsys.readouterr().out
    assert status("check", small, "--set", "stream.dataset=mnist") == 0
    text = capsys.readouterr().out
    assert "# data\nnote: a run here would end at once. The data set mnist is not on this machine." in text
    assert f"looked for in ({tmp_path / 'none'} is no folder):" in text


def test_a_data_set_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("verify", "fetch"):
        assert status("data", word, "mnits") == EXIT_WRONG_INPUT
        said = capsys.readouterr().err
        assert said.startswith("mpidcl: the data set should be one of") and 'mean "mnist"' in said


def test_a_run_says_where_it_is(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", small, "--driver", "inprocess", "--set", "learning.epochs=1", "--out", tmp_path / "here")
    assert status(*words) == 0
    where = f"mpidcl: the run is in {tmp_path / 'here'}; `mpidcl report {tmp_path / 'here'}` draws it.\n"
    assert capsys.readouterr().err.endswith(where)
    assert status(*words, "--quiet") == 0
    assert capsys.readouterr().err == ""
