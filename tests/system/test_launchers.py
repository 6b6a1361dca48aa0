"""`scripts/launchers`: its table on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mpi4py")
SCRIPT = Path(__file__).parents[2] / "scripts" / "launchers.py"


def launchers(folder: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.timeout(400)
def test_the_table_of_this_machine(tmp_path: Path, job_free_environment: dict[str, str]) -> None:
    only = "rank killed"
    ended = launchers(tmp_path, job_free_environment, "--only", only, "--out", "table.md")
    text = (tmp_path / "table.md").read_text()
    (killed,) = [line for line in text.splitlines() if line.startswith("| rank killed |")]
    own, bare = killed.strip("| ").split(" | ")[1:]
    assert own.startswith("70, ") and "**" not in killed, ended.stdout  # gone on with: the right digest
    assert ended.returncode == (0 if bare.startswith("70, ") else 1), ended.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "run,requeue,rum"], "Found rum"),
        (["--submit", "sbatch -N2"], "should begin with slurm or pbs. Found 'sbatch -N2'"),
        (["--emulate", "clouds"], "should be of nodes, apart, slurm. Found clouds"),
    ],
)
def test_what_cannot_be_meant(
    tmp_path: Path, job_free_environment: dict[str, str], words: list[str], said: str
) -> None:
    ended = launchers(tmp_path, job_free_environment, *words)
    assert ended.returncode == 2
    assert said in ended.stderr
