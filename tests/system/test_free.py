"""`clock = "free"` from the command line: in one process, on two ranks, stopped and gone on with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import CommandLine

pytest.importorskip("mpi4py")

FILE = """
name = "free"
agents = 3
clock = "free"
[network]
topology = "complete"
[stream]
tasks = 3
classes_per_task = 2
train_per_class = 16
validation_per_class = 8
[learning]
epochs = 4
batch = 16
[evaluation]
every = 2
[[exchange]]
kind = "parameters"
when = "after"
every = "1 epoch"
[[exchange]]
kind = "data"
when = "task end"
every = "1 task"
"""
NOTE = 'note: clock = "free" cannot be repeated'


@pytest.fixture
def run(tmp_path: Path, here: CommandLine, job_free_environment: dict[str, str]) -> Any:
    def run_it(*words: str, status: int = 0) -> str:
        (tmp_path / "free.toml").write_text(FILE)
        if "-n" in words:
            command = [sys.executable, "-m", "mpidcl", *words]
            ended = subprocess.run(
                command, cwd=tmp_path, env=job_free_environment, capture_output=True, text=True, timeout=400
            )
        else:
            ended = here(*words)
        assert ended.returncode == status, ended.stdout + ended.stderr
        return " ".join((ended.stdout + ended.stderr).split())

    return run_it


def heard(folder: Path) -> np.ndarray:
    """Of each agent and source, in order: how many frames came, were lost, were left out."""
    with h5py.File(folder / "results.h5") as file:
        table = file["tables/mail"]
        columns = [table[name][()] for name in ("agent", "source", "frames", "lost", "skipped")]
        assert "arrivals" in file["tables"]
    return np.array(columns).T


@pytest.mark.timeout(900)
def test_all_ways_to_run_come_to_the_end(tmp_path: Path, run: Any) -> None:
    assert NOTE in run("check", "free.toml")
    assert NOTE in run("run", "free.toml", "-q", "--driver", "inprocess", "--out", "alone")
    run("run", "free.toml", "-q", "-n", "2", "--out", "two")
    run("run", "free.toml", "-q", "-n", "3", "--out", "stopped", "--until", "6 epochs", status=75)
    run("run", "free.toml", "-q", "-n", "2", "--out", "stopped")
    run("report", "stopped")
    for name, ends in (("alone", 1), ("two", 1), ("stopped", 2)):
        table = heard(tmp_path / name)
        assert len(table) == 6 and not table[:, 3:].any()
        # 2 tasks of 4 epochs, and a last frame at each end. Answers to 2 questions of who is far ahead leave
        # in frames of their own, where nothing else is due yet.
        more = table[:, 2] - (8 + ends)
        assert (more >= 0).all() and (more <= 2).all(), name
