"""Agents that train one model on parallel streams: the same bits on any number of ranks and agents."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_bits import bits

from mpidcl.learning.parallel.steps import STEPS, StepLog
from mpidcl.report.loaded import load_run

pytest.importorskip("mpi4py")

COMMON = """
name = "parallel"
seed = 4
agents = AGENTS
[stream]
kind = "parallel"
dataset = "digits"
tasks = 5
train_per_class = 40
test_per_class = 12
timeline = [0, 2, 3, 7, 9]
OPTIONS
[model]
kind = "mlp"
hidden = [24, 16]
dropout = 0.2
[memory]
capacity = "4 rows per class"
policy = "class-quota"
[learning]
kind = "parallel"
lr = 0.01
batch = 16
"""
ALIGNED = 'combiner = "elastic"\nediting = { kind = "align", lr = 0.5 }\n'
CONFLICT = 'combiner = "graddrop"\nediting = "conflict"\nsecond_moment = "mean"\n'
PARAMETERS = """
[[exchange]]
kind = "parameters"
when = "after"
every = "3 ticks"
from_task = 0
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[..., Path]:
    def write(agents: int, *rest: str, options: str = "") -> Path:
        file = tmp_path / f"parallel-{agents}.toml"
        file.write_text(COMMON.replace("AGENTS", str(agents)).replace("OPTIONS", options) + "".join(rest))
        return file

    return write


@pytest.fixture
def run(tmp_path: Path, mpidcl: Callable[..., Any]) -> Callable[..., Path]:
    def run_it(file: Path, out: str, *words: str, status: int = 0) -> Path:
        ended = mpidcl("run", file, "-q", "--out", out, *words, environment={"MPIDCL_DEBUG": "1"})
        assert ended.returncode == status, ended.stdout + ended.stderr
        return tmp_path / out

    return run_it


@pytest.mark.timeout(600)
def test_one_model_whatever_the_number_of_ranks_and_agents(experiment, run):
    """In process and at 1, 2, 3, 4 ranks: the same bits; and one agent alone learns the same model."""
    file = experiment(4, ALIGNED)
    oracle = run(file, "inprocess", "--driver", "inprocess")
    wanted = bits(oracle)
    for ranks in (1, 2, 3, 4):
        assert bits(run(file, f"mpi-{ranks}", "-n", str(ranks))) == wanted, f"{ranks} ranks"
    alone = load_run(run(experiment(1, ALIGNED), "alone", "--driver", "inprocess")).records[0]
    for record in load_run(oracle).records:
        assert record.digest == alone.digest
        np.testing.assert_array_equal(record.tables["course"]["final"], alone.tables["course"]["final"])
    together = load_run(oracle).records[0]
    for name, column in together.tables["steps"].items():
        if name != "wall_s":
            np.testing.assert_array_equal(column, alone.tables["steps"][name], err_msg=name)


@pytest.mark.timeout(300)
def test_a_rank_of_its_own_for_the_memory_and_a_rule_per_coordinate_among_three_directions(experiment, run):
    file = experiment(3, CONFLICT, options='memory_agent = "own"\nincremental = "task"')
    wanted = bits(run(file, "inprocess", "--driver", "inprocess"))
    assert bits(run(file, "mpi", "-n", "3")) == wanted
    assert bits(run(file, "mpi-2", "-n", "2")) == wanted


@pytest.mark.timeout(300)
def test_each_agent_keeps_the_rows_of_its_own_tasks(experiment, run):
    """In process, at 1 to 4 ranks, and stopped and resumed by others: the same bits."""
    file = experiment(4, ALIGNED, options='memory_agent = "each"')
    wanted = bits(run(file, "inprocess", "--driver", "inprocess"))
    for ranks in (2, 3, 4):
        assert bits(run(file, f"mpi-{ranks}", "-n", str(ranks))) == wanted, f"{ranks} ranks"
    run(file, "parts", "-n", "3", "--until", "2 tasks", status=75)
    assert bits(run(file, "parts", "-n", "2")) == wanted


@pytest.mark.timeout(300)
def test_stopped_and_resumed_by_another_number_of_ranks(experiment, run, tmp_path):
    file = experiment(4, ALIGNED)
    wanted = bits(run(file, "whole", "--driver", "inprocess"))
    run(file, "parts", "-n", "2", "--until", "2 tasks", status=75)
    shutil.copytree(tmp_path / "parts", tmp_path / "parts-again")
    assert bits(run(file, "parts", "--driver", "inprocess")) == wanted
    assert bits(run(file, "parts-again", "-n", "3")) == wanted


@pytest.mark.timeout(300)
def test_agents_with_parallel_streams_of_their_own_share_parameters(experiment, run):
    file = experiment(3, PARAMETERS, options='spread = "none"\ndraw = "independent"')
    folder = run(file, "inprocess", "--driver", "inprocess")
    assert bits(run(file, "mpi", "-n", "2")) == bits(folder)
    records = load_run(folder).records
    assert len({record.digest for record in records}) == 3
    assert all(record.has("steps") for record in records)
    assert json.loads((folder / "summary.json").read_text())["communication"]["payload_bytes"] > 0


@pytest.mark.timeout(200)
def test_nan_on_one_rank_ends_the_run_with_a_name(experiment, mpidcl):
    file = experiment(3, 'optimizer = "sgd"\n')
    ended = mpidcl("run", file, "-n", "3", "--set", "learning.lr=1e30")
    assert ended.returncode == 70
    assert "Found NaN or Inf in that of" in ended.stderr and "(agent" in ended.stderr
    assert "not_finite" in ended.stderr


@pytest.mark.timeout(200)
def test_streams_that_end_early_leave_the_others_alone(experiment, run):
    file = experiment(3, ALIGNED, options="durations = [4, 9, 5, 12, 6]")
    folder = run(file, "inprocess", "--driver", "inprocess")
    assert bits(run(file, "mpi", "-n", "3")) == bits(folder)
    steps = StepLog.from_table(load_run(folder).records[0].tables[STEPS])
    assert not steps.present[7 + 10 : 7 + 12, 1 + 3].any()  # task 3 has rows for 5 steps, not for 12
    assert (steps.skipped == 0).all()
