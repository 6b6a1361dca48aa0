"""How a run ends when something goes wrong: one message, the right status, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mpidcl.base.rank_variables import says_rank
from mpidcl.launch.mpiexec import find_mpiexec, settings

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.timeout(900)
LIMIT = 240
"""Seconds after which something hangs, also on a machine that does much else."""

LONG = ("--set", "learning.epochs=5000", "--set", "checkpoint.every=20 epochs")
BROKEN = """
from mpidcl.learning.terms.replay import Replay
class Broken(Replay):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.batches = 0
    def loss(self, *args, **kwargs):
        self.batches += 1
        if self.batches > 3:
            raise ValueError("a term that breaks")
        return super().loss(*args, **kwargs)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, tiny: Path, job_free_environment: dict[str, str]) -> Iterator[Start]:
    """Start `mpidcl run tiny.toml ...`, on 4 ranks if nothing is said, and leave it running."""
    jobs = []

    def run(*words: str) -> subprocess.Popen[str]:
        job = subprocess.Popen(
            [sys.executable, "-m", "mpidcl", "run", tiny.name, *words],
            cwd=tmp_path,
            env=job_free_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        jobs.append(job)
        return job

    yield run
    for job in jobs:
        job.terminate()
        job.communicate(timeout=LIMIT)


def wait_for_checkpoint(job: subprocess.Popen[str], run: Path) -> None:
    deadline = time.monotonic() + LIMIT
    while not list(run.glob("checkpoints/*/manifest.json")):
        assert job.poll() is None and time.monotonic() < deadline, job.communicate(timeout=1)
        time.sleep(0.05)


def ranks_in(folder: Path) -> list[int]:
    """Process ids of the ranks that work in `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_rank = says_rank((entry / "environ").read_bytes().split(b"\0"))
            if is_rank and (entry / "cwd").resolve() == folder.resolve():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_ctrl_c_leaves_a_run_that_goes_on(start: Start, tmp_path: Path) -> None:
    job = start(*LONG)
    wait_for_checkpoint(job, tmp_path / "runs/tiny")
    assert len(ranks_in(tmp_path)) == 4
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=LIMIT)
    assert job.returncode == 75
    assert "Traceback" not in err
    assert "mpidcl: SIGINT: all agents go on to task " in err
    assert "stopped by SIGINT, saved at task" in err.splitlines()[-1]
    saved = float(err.splitlines()[-1].split("saved at task ")[1].split(";")[0])
    assert ranks_in(tmp_path) == []

    again = start("-n", "2", *LONG)
    time.sleep(0.1)
    while "goes on after" not in (line := again.stderr.readline() if again.stderr else ""):
        assert line, "the run did not go on"
    assert f"goes on after {saved:g} tasks" in line
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=LIMIT) == 75


def test_one_rank_that_is_warned_is_enough(
    tmp_path: Path, tiny: Path, job_free_environment: dict[str, str]
) -> None:
    mpiexec = find_mpiexec()
    (tmp_path / "session").mkdir()
    own = settings(mpiexec, 1, tmp_path / "session", job_free_environment)
    words = [mpiexec.path, "-n", "4", sys.executable, "-m", "mpidcl", "run", tiny.name, *LONG]
    job = subprocess.Popen(
        words, cwd=tmp_path, env=job_free_environment | own, stderr=subprocess.PIPE, text=True
    )
    wait_for_checkpoint(job, tmp_path / "runs/tiny")
    os.kill(ranks_in(tmp_path)[2], signal.SIGUSR1)
    _, err = job.communicate(timeout=LIMIT)
    assert job.returncode == 75, err
    assert "SIGUSR1: all agents go on to task" in err
    assert "stopped by SIGUSR1, saved at task" in err
    assert ranks_in(tmp_path) == []


def test_a_killed_rank_ends_the_run(start: Start, tmp_path: Path) -> None:
    job = start(*LONG)
    wait_for_checkpoint(job, tmp_path / "runs/tiny")
    os.kill(ranks_in(tmp_path)[2], signal.SIGKILL)
    _, err = job.communicate(timeout=LIMIT)
    assert job.returncode == 70
    by_neighbour = "Often the process at the other end, or its machine, is gone"  # it may come first: MPICH
    words = ("a rank was killed by SIGKILL", "mpiexec gave status 255", by_neighbour)  # 255: Intel MPI
    assert any(text in err for text in words), err
    assert ranks_in(tmp_path) == []


def test_one_raising_agent_ends_the_run_with_its_traceback(start: Start, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    job = start("-n", "2", "--set", 'agent=[{ids = [2], learning = {terms = ["broken:Broken"]}}]')
    _, err = job.communicate(timeout=LIMIT)
    assert job.returncode == 70, err
    assert err.count("Traceback") == err.count("ValueError: a term that breaks") == 1
    assert f"rank 1 of 2 on {os.uname().nodename}" in err
    assert ranks_in(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-n", "2", "--set", "learning.epoch=3"), "epoch"),
        (("-n", "5"), "between 1 and 4"),
        (("-n", "2", "--set", "stream.dataset=nonsense"), "nonsense"),
    ],
)
def test_wrong_input_is_said_once(start: Start, words: tuple[str, ...], said: str) -> None:
    job = start(*words)
    _, err = job.communicate(timeout=LIMIT)
    assert job.returncode == 2
    assert said in err
    assert err.count("mpidcl: ") == 1 and "Traceback" not in err
