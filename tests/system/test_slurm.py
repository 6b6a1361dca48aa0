"""Under the real Slurm, on two emulated nodes: srun, our launcher in an allocation, and a job script."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from emulated_slurm import Slurm
from run_bits import bits

pytest.importorskip("mpi4py")
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
LIMIT = 300
MPIDCL = f"{shlex.quote(sys.executable)} -m mpidcl run tiny.toml"
WAYS = {
    "srun": f"srun -N2 -n4 --mpi=pmix {MPIDCL}",
    "salloc": f"salloc -Q -N2 -n4 --ntasks-per-node=2 {MPIDCL} -n 4",
}
BROKEN = """
from mpidcl.learning.terms.replay import Replay
class Broken(Replay):
    def loss(self, *args, **kwargs):
        raise ValueError("a term that breaks")
"""
Submit = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def submit(slurm: Slurm, tiny: Path, tmp_path: Path, job_free_environment: dict[str, str]) -> Submit:
    """A command line on the head node, in the test's folder; afterwards nothing may be left on any node."""
    environment = job_free_environment | {"TMPDIR": "/local"}

    def run(line: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", "-c", line]
        ended = slurm.run("head", words, where=str(tmp_path), environment=environment, timeout=LIMIT)
        assert_nothing_left(slurm)
        return ended

    return run


def assert_nothing_left(slurm: Slurm) -> None:
    deadline = time.monotonic() + LIMIT
    for name in slurm.nodes.names:
        while left := [words for words in slurm.nodes.processes(name).values() if "mpidcl" in words]:
            assert time.monotonic() < deadline, (name, left)
            time.sleep(0.2)
        assert not [path for path in slurm.nodes.files(name) if "mpidcl-job" in path], name


@pytest.mark.parametrize("way", WAYS)
def test_a_run_on_two_nodes(submit: Submit, mpidcl: Callable[..., object], tmp_path: Path, way: str) -> None:
    mpidcl("run", "tiny.toml", "--driver", "inprocess", "--out", "alone")
    ended = submit(WAYS[way])
    assert ended.returncode == 0, ended.stderr
    assert "digest" in ended.stdout and "\x1b" not in ended.stdout
    assert bits(tmp_path / "runs/tiny") == bits(tmp_path / "alone")


@pytest.mark.parametrize("way", WAYS)
def test_a_rank_that_raises_on_the_second_node(submit: Submit, tmp_path: Path, way: str) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    agent = 'agent=[{ids = [3], learning = {terms = ["broken:Broken"]}}]'
    ended = submit(f"{WAYS[way]} --set {shlex.quote(agent)}")
    assert ended.returncode == 70, ended.stderr
    assert ended.stderr.count("ValueError: a term that breaks") == 1
    assert "rank 3 of 4 on node2 failed" in ended.stderr


@pytest.mark.parametrize("way", WAYS)
def test_wrong_input(submit: Submit, way: str) -> None:
    ended = submit(f"{WAYS[way]} --set learning.epoch=3")
    assert ended.returncode == 2, ended.stderr
    assert "Did you mean `epochs`?" in ended.stderr


def test_a_job_script_that_is_warned(submit: Submit, tmp_path: Path) -> None:
    """`--signal` warns the ranks of a step; they save, and the same script goes on."""
    script = f"#!/bin/bash\nsrun --mpi=pmix {MPIDCL} $MORE\necho status $?\n"
    (tmp_path / "job.sh").write_text(script)
    long = "--set learning.epochs=20000 --set checkpoint.every=20epochs"
    warn = (
        "job=$(sbatch --parsable -N2 -n4 -o log job.sh);"
        "until ls runs/tiny/checkpoints/*/manifest.json; do sleep 0.2; done;"
        "scancel -s USR1 $job; while squeue -h -j $job | grep -q .; do sleep 0.2; done"
    )
    submit(f"export MORE={shlex.quote(long)}; {warn}")
    log = (tmp_path / "log").read_text()
    assert "status 75" in log and "stopped by SIGUSR1, saved at task" in log, log
