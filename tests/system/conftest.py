"""A tiny experiment, and running the real command line on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import emulated_nodes
import emulated_slurm

TINY = """
name = "tiny"
agents = 4
[network]
topology = "ring"
[stream]
dataset = "digits"
tasks = 3
classes_per_task = 2
train_per_class = 16
[learning]
epochs = 4
[evaluation]
every = 2
[checkpoint]
every = "1 task"
[[exchange]]
kind = "parameters"
when = "before"
every = "2 epochs"
from_task = 0
"""

Mpidcl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """An experiment file of 4 agents that takes a second or two."""
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    return file


@pytest.fixture
def mpidcl(tmp_path: Path, job_free_environment: dict[str, str]) -> Mpidcl:
    """`mpidcl("run", "x.toml")`: run the command line in the test's folder and return how it ended."""

    def run(
        *words: str | Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mpidcl", *map(str, words)],
            cwd=tmp_path,
            env=job_free_environment | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=100,
        )

    return run


@pytest.fixture
def nodes() -> Iterator[emulated_nodes.Nodes]:
    """Two emulated nodes with nothing on them, node1 and node2."""
    if (why := emulated_nodes.missing()) is not None:
        pytest.skip(why)
    with emulated_nodes.Nodes(2) as made:
        yield made


@pytest.fixture(scope="session")
def slurm() -> Iterator[emulated_slurm.Slurm]:
    """A Slurm cluster: the host head, where jobs are submitted, and node1 and node2 with 4 CPUs each.

    It has a network and a folder of its own. `$SLURM_FOLDER` keeps the packages for the next time.
    """
    if (why := emulated_slurm.missing()) is not None:
        pytest.skip(why)
    folder = os.environ.get("SLURM_FOLDER")
    try:
        with emulated_slurm.Slurm(folder=Path(folder) if folder else None) as made:
            yield made
    except RuntimeError as error:
        pytest.skip(str(error))
