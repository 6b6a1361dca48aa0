"""Carrying out a plan: what is finished is kept, what fails stops nothing else, what is wrong is said."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpidcl.errors import ExperimentError
from mpidcl.record.folder import RunState
from mpidcl.reproduce.__main__ import main
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.protocol import ROWS
from mpidcl.reproduce.running import run_all

EXAMPLES = Path(__file__).parents[3] / "examples" / "dcl"
TINY = ["--epochs", "2", "--agents", "2", "--tasks", "5"]


@dataclass(frozen=True)
class Pretended(Planned):
    """A run that is any other command of mpidcl."""

    command_words: tuple[str, ...] = ("--version",)
    found: RunState = RunState.NEW

    def words(self, driver: str) -> list[str]:
        return list(self.command_words)

    def state(self) -> RunState:
        if self.sets:
            raise ExperimentError("learning.epoch is not a known key")
        return self.found


def pretended(seed: int, *words: str, found: RunState = RunState.NEW, sets: tuple[str, ...] = ()) -> Planned:
    row = ROWS["modular-isolated"]
    return Pretended(row, "digits", seed, Path("f"), Path("r"), sets, words or ("--version",), found)


def test_all_that_is_not_finished_is_run_and_logged(tmp_path: Path) -> None:
    said: list[str] = []
    runs = [pretended(0), pretended(1, found=RunState.FINISHED), pretended(2, found=RunState.UNFINISHED)]
    assert run_all(runs, 2, "inprocess", tmp_path / "logs", said.append) == 0
    assert said[0] == "3 runs: 1 finished, 1 new, 1 unfinished"
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        "digits-modular-isolated-seed-0.log",
        "digits-modular-isolated-seed-2.log",
    ]
    assert "mpidcl" in (tmp_path / "logs" / "digits-modular-isolated-seed-0.log").read_text()


def test_a_run_that_fails_stops_no_other_and_decides_the_status(tmp_path: Path) -> None:
    said: list[str] = []
    runs = [pretended(0, "run", "there-is-no-such-file.toml", "--driver", "inprocess"), pretended(1)]
    assert run_all(runs, 1, "inprocess", tmp_path / "logs", said.append) == 2
    assert any("seed 0: FAILED with status 2" in line for line in said)
    assert any("seed 1: done" in line for line in said)
    assert "no file" in (tmp_path / "logs" / "digits-modular-isolated-seed-0.log").read_text()


def test_a_run_that_cannot_be_made_is_said_and_the_rest_is_run(tmp_path: Path) -> None:
    said: list[str] = []
    runs = [pretended(0, sets=("learning.epoch=3",)), pretended(1)]
    assert run_all(runs, 1, "inprocess", tmp_path / "logs", said.append) == 2
    assert any("learning.epoch is not a known key" in line for line in said)
    assert any("seed 1: done" in line for line in said)


def test_nothing_to_do_starts_nothing(tmp_path: Path) -> None:
    assert run_all([pretended(0, found=RunState.FINISHED)], 1, "inprocess", tmp_path / "logs", print) == 0
    assert not (tmp_path / "logs").exists()


def test_data_that_are_not_here_are_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPIDCL_DATA", str(tmp_path))
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path))
    said: list[str] = []
    row = ROWS["modular-isolated"]
    runs = [Planned(row, "kmnist", seed, Path("f"), Path("r"), ()) for seed in (0, 1)]
    assert run_all(runs, 1, "inprocess", tmp_path / "logs", said.append) == 2
    assert said == ["kmnist is left out, no data: mpidcl data fetch kmnist"]
    runs.append(pretended(0, found=RunState.FINISHED))
    assert run_all(runs, 1, "inprocess", tmp_path / "logs", said.append) == 0
    assert said[-1] == "1 run: 1 finished"


def test_tables_of_nothing_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dcl", "--tables", "--out", str(tmp_path / "none"), "--examples", str(EXAMPLES)]
    assert main(words) == 2
    assert "no finished run yet" in capsys.readouterr().out and not (tmp_path / "none").exists()


def test_a_signal_stops_and_says_that_it_can_go_on(tmp_path: Path) -> None:
    said: list[str] = []
    runs = [pretended(seed, "bench", "ring", "--help") for seed in range(200)]

    def stop(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()

    before = signal.getsignal(signal.SIGTERM)
    assert run_all(runs, 2, "inprocess", tmp_path / "logs", stop) == 75
    assert "goes on" in said[-1]
    assert len(list((tmp_path / "logs").iterdir())) < 200
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_real_run_gives_tables_and_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dcl", "--only", "monolithic-isolated", "--datasets", "digits", "--seeds", "0", "--jobs", "1"]
    words += ["--examples", str(EXAMPLES), "--out", str(tmp_path / "out"), *TINY]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "1 run: 1 new" in said and "digits monolithic-isolated seed 0: done" in said
    text = (tmp_path / "out" / "reproduction.md").read_text()
    assert "**Not the published protocol**: 2 agents, 5 tasks, 2 epochs per task" in text
    log = tmp_path / "out" / "logs" / "digits-monolithic-isolated-seed-0.log"
    log.unlink()
    assert main(words) == 0
    assert "1 run: 1 finished" in capsys.readouterr().out and not log.exists()
    assert (tmp_path / "out" / "reproduction.md").read_text() == text
    assert main([*words, "--set", "learning.lr=0.5", "--index", "0", "--of", "1"]) == 2
    said = capsys.readouterr().out
    assert "other settings" in said and "learning.lr" in said
