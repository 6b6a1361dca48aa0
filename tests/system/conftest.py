"""A tiny experiment, and running the real command line on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

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
