"""Agents that train one model, by the command line; more in tests/mpi/test_runs_of_one_model.py."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("mpi4py")

FILE = """
name = "parallel"
seed = 4
agents = 3
[stream]
kind = "parallel"
dataset = "digits"
tasks = 5
train_per_class = 40
test_per_class = 12
timeline = [0, 2, 3, 7, 9]
[model]
kind = "mlp"
hidden = [24, 16]
dropout = 0.2
[memory]
capacity = "4 rows per class"
policy = "class-quota"
[learning]
kind = "parallel"
batch = 16
optimizer = "sgd"
lr = 1e30
"""


@pytest.mark.timeout(200)
def test_nan_on_one_rank_ends_the_run_with_a_name(
    tmp_path: Path, mpidcl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "parallel.toml").write_text(FILE)
    ended = mpidcl("run", "parallel.toml", "-n", "3")
    assert ended.returncode == 70
    assert "Found NaN or Inf in that of" in ended.stderr and "(agent" in ended.stderr
    assert "not_finite" in ended.stderr
