"""Agents that share models and experts: the same bits in process and over MPI, stopped or not."""

from __future__ import annotations

import pytest
from whole_runs import Runs, needs_all_ranks

pytestmark = [needs_all_ranks, pytest.mark.timeout(250)]
COMMON = """
seed = 5
[network]
topology = "ring"
[stream]
dataset = "digits"
tasks = 3
classes_per_task = 2
incremental = "class"
draw = "dirichlet"
replacement = true
train_per_class = 12
validation_per_class = 4
[memory]
capacity = "30 rows"
insert = "each step"
[learning]
epochs = 2
batch = 8
"""
GROWING = """
kind = "experts"
first = 2
grow = 1
retire_below = 0.6
retire_after = 1
terms = [{kind = "replay", mix = "separate", rows_per_step = 4}, {kind = "balance"},
         {kind = "distillation", teacher = "neighbours", weight = 0.5}]
[model]
kind = "experts-mlp"
encoder = [16]
experts = 5
hidden = 6
width = 8
"""
PLAIN = '[model]\nkind = "mlp"\nhidden = [12, 8]\n'


def exchange(*lines: str, when: str = "after", every: str = "1 epochs") -> str:
    return "\n".join((f'[[exchange]]\nkind = "experts"\nwhen = "{when}"\nevery = "{every}"', *lines, ""))


WHOLE = exchange("teach = true", 'precision = "float16"', every="2 epochs")
SPARSE = exchange('merge = "sparse"', "fraction = 0.2", 'score = "mixed"', "fisher_mean = true")
MATCHED = exchange('merge = "matched"', 'parts = ["shared"]', 'silent = "newest"')
BY_WEIGHTS = exchange('merge = "matched"', 'by = "weights"', when="task end", every="1 task")
ANSWERS = 'terms = [{kind = "replay", mix = "separate", rows_per_step = 4}, {kind = "predictions"}]\n'
ASKING = '[[exchange]]\nkind = "predictions"\nwhen = "before"\nevery = "1 epochs"\nof = "both"\nrows = 9\n'


def experiment(name: str, agents: int, *parts: str) -> str:
    return f'name = "{name}"\nagents = {agents}\n' + COMMON + "".join(parts)


def test_experts_that_come_and_go_give_the_same_bits_everywhere(runs: Runs) -> None:
    text = experiment("experts", 4, GROWING, WHOLE, SPARSE)
    runs.alone(text, "inprocess")
    for ranks in (1, 2, 3, 4):
        runs.on(ranks, text, f"mpi-{ranks}")
        assert runs.bits(f"mpi-{ranks}") == runs.bits("inprocess"), f"{ranks} ranks"
    runs.on(2, text, "stopped", "3 epochs")
    runs.on(3, text, "stopped")
    assert runs.bits("stopped") == runs.bits("inprocess")


def test_answers_of_neighbours_give_the_same_bits_everywhere(runs: Runs) -> None:
    text = experiment("answers", 3, ANSWERS, PLAIN, ASKING)
    runs.alone(text, "inprocess")
    runs.on(3, text, "mpi-3")
    assert runs.bits("mpi-3") == runs.bits("inprocess")
    runs.on(2, text, "stopped", "3 epochs")
    runs.alone(text, "stopped")
    assert runs.bits("stopped") == runs.bits("inprocess")


def test_matched_models_give_the_same_bits_everywhere(runs: Runs) -> None:
    text = experiment("matched", 3, PLAIN, MATCHED, BY_WEIGHTS)
    runs.alone(text, "inprocess")
    for ranks in (2, 3):
        runs.on(ranks, text, f"mpi-{ranks}")
        assert runs.bits(f"mpi-{ranks}") == runs.bits("inprocess"), f"{ranks} ranks"
    runs.alone(text, "stopped", "3 epochs")
    runs.on(3, text, "stopped")
    assert runs.bits("stopped") == runs.bits("inprocess")


def test_by_mail_a_stop_changes_nothing(runs: Runs) -> None:
    clock = '[clock]\nkind = "virtual"\n'
    conditions = '[network.conditions]\nlatency = "600 ms"\njitter = "2 s"\nloss = "20 %"\n'
    text = experiment(
        "mail", 4, PLAIN, MATCHED, SPARSE, clock, conditions, '[checkpoint]\nevery = "2 epochs"\n'
    )
    runs.alone(text, "whole")
    runs.on(2, text, "stopped", "2.5 s")
    runs.on(4, text, "stopped")
    assert runs.bits("stopped") == runs.bits("whole")


def test_without_a_clock_all_is_received(runs: Runs) -> None:
    """Nothing can be repeated there: the run ends, and its record is whole."""
    free = '[clock]\nkind = "free"\n'
    runs.on(4, experiment("free", 4, PLAIN, MATCHED, SPARSE, free), "free")
