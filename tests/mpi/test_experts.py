"""Agents with experts that come, are frozen and go: the same bits in process and over MPI, stopped or not."""

from __future__ import annotations

import pytest
from mpi4py import MPI
from whole_runs import Runs, needs_all_ranks

from mpidcl.learning.experts.log import CAME, FROZEN, WENT
from mpidcl.report.loaded import load_run

pytestmark = [needs_all_ranks, pytest.mark.timeout(250)]

FILE = """
name = "experts"
agents = 4
seed = 3
[network]
topology = "ring"
[stream]
dataset = "digits"
tasks = 3
classes_per_task = 2
incremental = "class"
train_per_class = 16
validation_per_class = 8
test_per_class = 8
[model]
kind = "experts-mlp"
encoder = [10]
experts = 6
active = 2
hidden = [4, 4, 4, 5, 5, 5]
width = 6
routing = "guided"
noise = true
[memory]
capacity = "40 rows"
insert = "each step"
[learning]
kind = "experts"
epochs = 3
batch = 32
lr = 1e-2
first = 4
grow = 1
inherit = "similar"
freeze_above = 0.3
retire_below = 0.5
retire_after = 1
terms = [
    { kind = "replay", mix = "separate" },
    { kind = "balance", importance = 0.01, z = 1e-3 },
    { kind = "distillation", weight = 0.5 },
]
[[exchange]]
kind = "parameters"
parts = "shared"
when = "before"
every = "3 epochs"
[evaluation]
every = 3
"""


def test_changing_experts_give_the_same_bits_everywhere(runs: Runs) -> None:
    oracle = runs.alone(FILE, "inprocess")
    for ranks in (1, 2, 3, 4):
        runs.on(ranks, FILE, f"mpi-{ranks}")
        assert runs.bits(f"mpi-{ranks}") == runs.bits("inprocess"), f"{ranks} ranks"
    # stopped inside a task, gone on with on another number of ranks
    runs.on(3, FILE, "stopped", "4 epochs")
    runs.on(2, FILE, "stopped")
    assert runs.bits("stopped") == runs.bits("inprocess")
    if MPI.COMM_WORLD.rank == 0:
        tables = [record.tables["expert_changes"] for record in load_run(oracle).records]
        assert {int(one) for table in tables for one in table["change"]} == {CAME, FROZEN, WENT}
