"""pbs/generic.pbs with PBS's variables, a node file, a stand-in `qsub`, and the real mpiexec."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mpidcl.mpiexec import find_mpiexec, settings

pytest.importorskip("mpi4py")

SCRIPT = Path(__file__).parents[2] / "pbs" / "generic.pbs"
Submit = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def submit(tmp_path: Path, tiny: Path, job_free_environment: dict[str, str]) -> Submit:
    """Start the job script as PBS does; `qsub` inside it notes its arguments in the file `qsub`."""
    (tmp_path / "nodes").write_text("localhost\n" * 2)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "qsub").write_text(f'#!/bin/sh\necho "$@ RESUBMIT=$RESUBMIT" >>{tmp_path}/qsub\n')
    (tmp_path / "bin" / "qsub").chmod(0o755)
    environment = job_free_environment | {
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": "1234.server",
        "PBS_JOBNAME": "mpidcl",
        "PBS_NODEFILE": str(tmp_path / "nodes"),
        "PBS_O_WORKDIR": str(tmp_path),
        "PBS_QUEUE": "workq",
        "NCPUS": "2",
        "ENVIRONMENT": sys.prefix,
        "EXPERIMENT": tiny.name,
        "SCRIPT": str(SCRIPT),
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
    }
    environment |= settings(find_mpiexec(), 1, tmp_path, environment)

    def start(**variables: str) -> subprocess.Popen[str]:
        spooled = tmp_path / "1234.server.SC"  # PBS runs a copy, from another folder
        spooled.write_text(SCRIPT.read_text())
        return subprocess.Popen(
            ["bash", str(spooled)],
            env=environment | variables,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def digest(run: Path) -> str:
    summary: dict[str, str] = json.loads((run / "summary.json").read_text())
    return summary["digest"]


def test_job_runs_one_rank_per_line_of_the_node_file(submit: Submit, tmp_path: Path) -> None:
    job = submit()
    out, _ = job.communicate(timeout=100)
    assert job.returncode == 0, out
    assert "tiny.toml on 2 ranks, 1 nodes" in out
    assert json.loads((tmp_path / "runs/tiny/summary.json").read_text())["agents"] == 4
    assert not (tmp_path / "qsub").exists()


def test_stopped_job_goes_on_when_submitted_again(submit: Submit, tmp_path: Path) -> None:
    first = submit(OPTIONS="--until 1task")
    out, _ = first.communicate(timeout=100)
    assert first.returncode == 75, out
    assert "submit the same script again" in out
    second = submit()
    assert second.wait(timeout=100) == 0
    straight = submit(OPTIONS="--out runs/straight")
    assert straight.wait(timeout=100) == 0
    assert digest(tmp_path / "runs/tiny") == digest(tmp_path / "runs/straight")


def test_job_at_its_walltime_submits_itself_again(submit: Submit, tmp_path: Path) -> None:
    job = submit(RESUBMIT="3", OPTIONS="--set learning.epochs=5000")
    deadline = time.monotonic() + 60
    while not (tmp_path / "runs/tiny/metrics").exists():
        assert job.poll() is None and time.monotonic() < deadline, job.stdout and job.stdout.read()
        time.sleep(0.1)
    job.send_signal(signal.SIGTERM)  # what PBS does at the walltime
    out, _ = job.communicate(timeout=30)
    assert job.returncode == 75, out
    assert (tmp_path / "qsub").read_text().split()[-2:] == [str(SCRIPT), "RESUBMIT=2"]


def test_wrong_experiment_is_not_submitted_again(submit: Submit, tmp_path: Path) -> None:
    job = submit(RESUBMIT="3", OPTIONS="--set learning.epoch=3")
    out, _ = job.communicate(timeout=60)
    assert job.returncode == 2, out
    assert not (tmp_path / "qsub").exists()


def test_outside_pbs_it_says_how_to_start_it(job_free_environment: dict[str, str]) -> None:
    ended = subprocess.run(["bash", str(SCRIPT)], env=job_free_environment, capture_output=True, text=True)
    assert ended.returncode != 0
    assert "qsub pbs/generic.pbs" in ended.stderr
