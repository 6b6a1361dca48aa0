"""Agents that train one model on parallel streams: the same bits on any number of ranks and agents."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from mpi4py import MPI
from whole_runs import Runs, needs_all_ranks

from mpidcl.learning.parallel.steps import STEPS, StepLog
from mpidcl.report.loaded import load_run

pytestmark = [needs_all_ranks, pytest.mark.timeout(250)]
FIRST = MPI.COMM_WORLD.rank == 0

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


def experiment(agents: int, *rest: str, options: str = "") -> str:
    return COMMON.replace("AGENTS", str(agents)).replace("OPTIONS", options) + "".join(rest)


def test_one_model_whatever_the_number_of_ranks_and_agents(runs: Runs) -> None:
    """In process and at 1, 2, 3, 4 ranks: the same bits; and one agent alone learns the same model."""
    text = experiment(4, ALIGNED)
    oracle = runs.alone(text, "inprocess")
    for ranks in (1, 2, 3, 4):
        runs.on(ranks, text, f"mpi-{ranks}")
        assert runs.bits(f"mpi-{ranks}") == runs.bits("inprocess"), f"{ranks} ranks"
    single = runs.alone(experiment(1, ALIGNED), "alone")
    if not FIRST:
        return
    alone = load_run(single).records[0]
    for record in load_run(oracle).records:
        assert record.digest == alone.digest
        np.testing.assert_array_equal(record.tables["course"]["final"], alone.tables["course"]["final"])
    together = load_run(oracle).records[0]
    for name, column in together.tables["steps"].items():
        if name != "wall_s":
            np.testing.assert_array_equal(column, alone.tables["steps"][name], err_msg=name)


def test_a_rank_of_its_own_for_the_memory_and_a_rule_per_coordinate_among_three_directions(
    runs: Runs,
) -> None:
    text = experiment(3, CONFLICT, options='memory_agent = "own"\nincremental = "task"')
    runs.alone(text, "inprocess")
    for ranks in (3, 2):
        runs.on(ranks, text, f"mpi-{ranks}")
        assert runs.bits(f"mpi-{ranks}") == runs.bits("inprocess"), f"{ranks} ranks"


def test_each_agent_keeps_the_rows_of_its_own_tasks(runs: Runs) -> None:
    """In process, at 1 to 4 ranks, and stopped and resumed by others: the same bits."""
    text = experiment(4, ALIGNED, options='memory_agent = "each"')
    runs.alone(text, "inprocess")
    for ranks in (2, 3, 4):
        runs.on(ranks, text, f"mpi-{ranks}")
        assert runs.bits(f"mpi-{ranks}") == runs.bits("inprocess"), f"{ranks} ranks"
    runs.on(3, text, "parts", "2 tasks")
    runs.on(2, text, "parts")
    assert runs.bits("parts") == runs.bits("inprocess")


def test_stopped_and_resumed_by_another_number_of_ranks(runs: Runs) -> None:
    text = experiment(4, ALIGNED)
    runs.alone(text, "whole")
    parts = runs.on(2, text, "parts", "2 tasks")
    if FIRST:
        shutil.copytree(parts, runs.folder / "parts-again")
    runs.alone(text, "parts")
    runs.on(3, text, "parts-again")
    assert runs.bits("parts") == runs.bits("parts-again") == runs.bits("whole")


def test_agents_with_parallel_streams_of_their_own_share_parameters(runs: Runs) -> None:
    text = experiment(3, PARAMETERS, options='spread = "none"\ndraw = "independent"')
    folder = runs.alone(text, "inprocess")
    runs.on(2, text, "mpi")
    assert runs.bits("mpi") == runs.bits("inprocess")
    if FIRST:
        records = load_run(folder).records
        assert len({record.digest for record in records}) == 3
        assert all(record.has("steps") for record in records)
        assert json.loads((folder / "summary.json").read_text())["communication"]["payload_bytes"] > 0


def test_streams_that_end_early_leave_the_others_alone(runs: Runs) -> None:
    text = experiment(3, ALIGNED, options="durations = [4, 9, 5, 12, 6]")
    folder = runs.alone(text, "inprocess")
    runs.on(3, text, "mpi")
    assert runs.bits("mpi") == runs.bits("inprocess")
    if FIRST:
        steps = StepLog.from_table(load_run(folder).records[0].tables[STEPS])
        assert not steps.present[7 + 10 : 7 + 12, 1 + 3].any()  # task 3 has rows for 5 steps, not for 12
        assert (steps.skipped == 0).all()
