"""The command line gives the same bits in process and over MPI, at any number of ranks, stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from run_bits import bits
from run_texts import DATA, PARAMETERS, UNEQUAL, experiment

pytest.importorskip("mpi4py")


@pytest.fixture
def run(tmp_path: Path, job_free_environment: dict[str, str]) -> Any:
    def run_it(file: Path, out: str, *words: str, status: int = 0) -> Path:
        command = [sys.executable, "-m", "mpidcl", "run", str(file), "-q", "--out", out, *words]
        environment = job_free_environment | {"MPIDCL_DEBUG": "1"}
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        return tmp_path / out

    return run_it


@pytest.mark.timeout(900)
def test_a_rank_for_each_agent_stopped_and_gone_on_with_by_few(
    tmp_path: Path, run: Any, here: CommandLine
) -> None:
    """By the command line; what else stops and goes on, on how many ranks, is in tests/mpi/test_runs.py."""
    file = tmp_path / "eight.toml"
    file.write_text(experiment("eight", 8, "random", PARAMETERS, DATA, UNEQUAL))
    whole = here("run", file, "-q", "--driver", "inprocess", "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    run(file, "stopped", "-n", "8", "--until", "7 epochs", status=75)
    assert bits(run(file, "stopped", "-n", "3")) == bits(tmp_path / "whole")


@pytest.mark.timeout(600)
def test_killed_in_the_middle_and_resumed_is_never_stopped(
    tmp_path: Path, run: Any, here: CommandLine, job_free_environment: dict[str, str]
) -> None:
    file = tmp_path / "killed.toml"
    file.write_text(experiment("killed", 4, "ring", PARAMETERS))
    longer = ["--set", "stream.tasks=6", "--set", "learning.epochs=30", "--set", "stream.joint_tasks=0"]
    whole = here("run", file, "-q", "--driver", "inprocess", "--out", "whole", *longer)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", "mpidcl", "run", str(file), "-q", "--out", "killed", *longer]
    job = subprocess.Popen(command, cwd=tmp_path, env=job_free_environment, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 300
    while len(list(checkpoints.glob("*/manifest.json"))) < 2:
        assert time.monotonic() < deadline and job.poll() is None, "no checkpoint to be killed after"
        time.sleep(0.005)
    ranks = [pid for pid in _ranks(str(file)) if pid != job.pid]
    assert len(ranks) >= 4
    for pid in ranks:
        os.kill(pid, signal.SIGKILL)
    assert job.wait(timeout=30) == 70
    assert not (tmp_path / "killed" / "summary.json").exists(), "it was over before it was killed"
    assert bits(run(file, "killed", "-n", "2", *longer)) == bits(tmp_path / "whole")


def _ranks(word: str) -> list[int]:
    """Python processes with `word` in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words and b"mpiexec" not in words[0] and b"prterun" not in words[0]:
            found.append(int(entry.parent.name))
    return found
