"""Job scripts under a real Slurm with two emulated nodes: requeue, going on, an array, scancel."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from emulated_slurm import Slurm

pytest.importorskip("mpi4py")
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
LIMIT_S = 900

Call = Callable[..., str]


@pytest.fixture
def call(slurm: Slurm, tiny: Path, tmp_path: Path, job_free_environment: dict[str, str]) -> Call:
    """A command line on the head node, in the test's folder, with variables for the job script."""
    ours = job_free_environment | {"MPI": "pmix", "VENV": sys.prefix, "EXPERIMENT": tiny.name}

    def run(line: str, **variables: str) -> str:
        words = ["bash", "-c", line]
        ended = slurm.run("head", words, where=str(tmp_path), environment=ours | variables, timeout=LIMIT_S)
        assert ended.returncode == 0, ended.stderr
        return str(ended.stdout).strip()

    return run


def submitted(script: str, options: str = "") -> str:
    return f"sbatch --parsable {options} {shlex.quote(str(ROOT / script))}"


def wait_for(condition: Callable[[], object]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < LIMIT_S
        time.sleep(0.5)


def digest(run: Path) -> str:
    found: dict[str, str] = json.loads((run / "summary.json").read_text())
    return found["digest"]


def test_a_job_requeues_itself_while_it_gets_further(
    call: Call, mpidcl: Callable[..., object], tmp_path: Path
) -> None:
    two_nodes = "--nodes=2 --ntasks-per-node=2"
    job = call(submitted("slurm/generic.sbatch", two_nodes), RESUBMIT="5", OPTIONS="--until 1task")
    log = tmp_path / f"mpidcl-{job}.out"
    wait_for(lambda: log.exists() and "nothing new was saved" in log.read_text())
    text = log.read_text()
    assert (
        text.count("goes on in another turn of this job, in about two minutes; at most 4 more after that")
        == 1
    )
    assert text.count("tiny.toml on 4 ranks, 2 nodes") == 2
    call(submitted("slurm/generic.sbatch", f"--wait {two_nodes}"))
    mpidcl("run", "tiny.toml", "--driver", "inprocess", "--out", "alone")
    assert digest(tmp_path / "runs/tiny") == digest(tmp_path / "alone")


def test_an_array_has_a_run_for_each_seed(call: Call, mpidcl: Callable[..., object], tmp_path: Path) -> None:
    call(submitted("slurm/sweep_array.sbatch", "--wait --array=0-1"))
    mpidcl("run", "tiny.toml", "--driver", "inprocess", "--out", "alone", "--set", "seed=1")
    assert digest(tmp_path / "runs/tiny-seed-1") == digest(tmp_path / "alone")
    assert digest(tmp_path / "runs/tiny-seed-0") != digest(tmp_path / "alone")


def test_scancel_ends_the_chain(call: Call, tmp_path: Path) -> None:
    job = call(submitted("slurm/generic.sbatch"), RESUBMIT="5", OPTIONS="--set learning.epochs=9000")
    metrics = tmp_path / "runs/tiny/metrics/agent-0000.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size)
    call(f"scancel {job}")
    wait_for(lambda: not call(f"squeue -h -j {job} -o %T || true"))
    assert "JobState=CANCELLED" in call(f"scontrol show job {job}")
    assert "goes on in another" not in (tmp_path / f"mpidcl-{job}.out").read_text()
