"""Job scripts with real ranks: PBS's variables, a node file, a stand-in `qsub`, and the real mpiexec."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from batch import LIMIT_S, Batch, pbs, slurm, wait_for

from mpidcl.launch.mpiexec import find_mpiexec, settings

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.timeout(3 * LIMIT_S)

ROOT = Path(__file__).parents[2]
Job = Callable[[str], Batch]


@pytest.fixture
def job(tmp_path: Path, tiny: Path, job_free_environment: dict[str, str]) -> Job:
    """A script of this repository as a job on two slots of this machine, with this very environment."""

    def made(script: str) -> Batch:
        folder = tmp_path / "work"
        if script.startswith("pbs"):
            batch = pbs(folder, ROOT / script, "localhost\n" * 2)
        else:
            batch = slurm(folder, ROOT / script)
            srun = tmp_path / "programs/bin/srun"  # it starts ranks as mpiexec does
            srun.write_text(f'#!/bin/bash\nexec "{find_mpiexec().path}" -n 2 "${{@:3}}"\n')
        ours = job_free_environment | settings(find_mpiexec(), 1, tmp_path, job_free_environment)
        path = f"{tmp_path}/programs/bin:{os.environ['PATH']}"
        batch.variables = ours | batch.variables | {"VENV": sys.prefix, "PATH": path}
        (folder / "tiny.toml").write_text(tiny.read_text())
        return batch

    return made


def digest(run: Path) -> str:
    summary: dict[str, str] = json.loads((run / "summary.json").read_text())
    return summary["digest"]


def test_stopped_job_goes_on_when_submitted_again(job: Job) -> None:
    first = job("pbs/generic.pbs")
    status, out = first.run(OPTIONS="--until 1task")
    assert status == 75, out
    assert "tiny.toml on 2 ranks, 1 nodes" in out and "Submit the same script again" in out
    status, out = first.run()
    assert status == 0, out
    straight = [
        sys.executable,
        "-m",
        "mpidcl",
        "run",
        "tiny.toml",
        "--driver",
        "inprocess",
        "--out",
        "straight",
    ]
    subprocess.run(straight, cwd=first.folder, check=True, capture_output=True)
    assert digest(first.folder / "runs/tiny") == digest(first.folder / "straight")
    assert first.words("qsub") is None


@pytest.mark.parametrize(
    "script", ["pbs/generic.pbs", pytest.param("slurm/generic.sbatch", marks=pytest.mark.long)]
)
def test_warned_job_saves_and_goes_on_in_another(job: Job, script: str) -> None:
    long = job(script)
    process = long.start(RESUBMIT="3", OPTIONS="--set learning.epochs=2000")
    wait_for(long.folder / "runs/tiny/metrics/agent-0000.jsonl", process)
    process.send_signal(signal.SIGUSR1)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 75, out
    assert "at most 2 more after that" in out
    assert long.words("qsub" if script.startswith("pbs") else "scontrol")
    assert any((long.folder / "runs/tiny/checkpoints").glob("*/manifest.json"))


def test_wrong_experiment_is_said_once_and_not_submitted_again(job: Job) -> None:
    wrong = job("pbs/generic.pbs")
    status, out = wrong.run(RESUBMIT="3", OPTIONS="--set learning.epoch=3")
    assert status == 2 and out.count("learning.epoch") == 1, out
    assert "ranks" not in out and wrong.words("qsub") is None


@pytest.mark.long
def test_member_of_an_array_is_the_run_of_its_seed(job: Job) -> None:
    member = job("pbs/sweep_array.pbs")
    status, out = member.run(PBS_ARRAY_INDEX="3")
    assert status == 0, out
    status, out = member.run(OPTIONS="--set seed=3")
    assert digest(member.folder / "runs/tiny") == digest(member.folder / "runs/tiny-seed-3"), out


def test_outside_a_batch_system_it_says_how_to_start_it(job_free_environment: dict[str, str]) -> None:
    script = ROOT / "pbs/generic.pbs"
    ended = subprocess.run(["bash", str(script)], env=job_free_environment, capture_output=True, text=True)
    assert ended.returncode == 2
    assert f"Submit it: qsub {script}" in ended.stderr
