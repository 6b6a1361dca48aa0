"""Under the real Slurm, on two emulated nodes: who starts the ranks, and how a job ends there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from emulated_slurm import Slurm

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
LIMIT = 300


@pytest.mark.parametrize(
    "words",
    [
        ["srun", "-N2", "-n4", "--mpi=pmix", "python", "-m", "mpidcl", "run", "tiny.toml"],
        ["salloc", "-N2", "-n4", "python", "-m", "mpidcl", "run", "tiny.toml", "-n", "4"],
    ],
    ids=["srun", "salloc"],
)
def test_a_run_on_two_nodes(
    slurm: Slurm, words: list[str], tiny: Path, tmp_path: Path, job_free_environment: dict[str, str]
) -> None:
    environment = job_free_environment | {"TMPDIR": "/local", "NUMBA_CACHE_DIR": "/local"}
    words = [sys.executable if word == "python" else word for word in words]
    ended = slurm.run("head", words, where=str(tmp_path), environment=environment, timeout=LIMIT)
    assert ended.returncode == 0, ended.stderr
    assert "digest" in ended.stdout
    for name in slurm.nodes.names:
        left = [path for path in slurm.nodes.files(name) if "mpidcl-job" in path]
        assert left == []
    assert os.path.exists(tmp_path / "runs/tiny/summary.json")
