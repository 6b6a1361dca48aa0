"""Agents whose modules grow: the same bits in process and over MPI, stopped or not; who exchanges what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from run_bits import bits

from mpidcl.learning.compositional.decisions import ModuleDecision
from mpidcl.report.loaded import load_run
from mpidcl.views.modules import counts

pytest.importorskip("mpi4py")

COMMON = """
seed = 3
[network]
topology = "TOPOLOGY"
[stream]
dataset = "digits"
tasks = TASKS
classes_per_task = 2
replacement = true
train_per_class = 12
validation_per_class = 8
joint_tasks = 2
joint_shared = SHARED
[model]
kind = "compositional-mlp"
width = 8
depth = 3
[learning]
kind = "compositional"
epochs = 4
batch = 16
lr = 1e-2
candidates = 2
threshold = -1.0
[evaluation]
every = 2
"""
MODULES = """
[[exchange]]
kind = "modules"
when = "task start"
from_task = 3
"""
TRIED_OUT = """
rank_by = "leep"
choose = "try-out"
trial_epochs = 2
count = 2
keep = 2
"""
PARAMETERS = """
[[exchange]]
kind = "parameters"
when = "before"
every = "2 epochs"
from_task = 2
"""
DATA = """
[[exchange]]
kind = "data"
when = "after"
every = "2 epochs"
from_task = 2
choose = "hard-examples"
queries = 3
neighbours = 2
"""
# three candidates or two; agent 1 learns longer, agent 2 keeps nothing, agent 3 is over early
UNEQUAL = """
[[agent]]
ids = [0, 3]
learning = { candidates = 3 }
[[agent]]
ids = [1]
learning = { epochs = 6, accommodate = 3 }
[[agent]]
ids = [2]
learning = { threshold = 100.0 }
[[agent]]
ids = [3]
stream = { tasks = 4 }
"""
CONVOLUTIONAL = """
[[agent]]
ids = [2]
model = { kind = "compositional-cnn", width = 4, depth = 2 }
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, agents: int, *parts: str, topology: str = "complete", tasks: int = 5) -> Path:
        shared = "true" if PARAMETERS in parts and UNEQUAL not in parts else "false"
        common = COMMON.replace("TOPOLOGY", topology).replace("SHARED", shared).replace("TASKS", str(tasks))
        file = tmp_path / f"{name}.toml"
        file.write_text(f'name = "{name}"\nagents = {agents}\n' + common + "".join(parts))
        return file

    return write


@pytest.fixture
def run(tmp_path: Path, mpidcl: Callable[..., object]) -> Callable[..., Path]:
    def run_it(file: Path, out: str, *words: str, status: int = 0) -> Path:
        ended = mpidcl("run", file, "-q", "--out", out, *words, environment={"MPIDCL_DEBUG": "1"})
        assert ended.returncode == status, ended.stdout + ended.stderr
        return tmp_path / out

    return run_it


def decisions(folder: Path) -> list[list[ModuleDecision]]:
    """What became of the candidates of each agent."""
    return [counts.decisions(record) for record in load_run(folder).records]


@pytest.mark.timeout(600)
def test_growing_modules_give_the_same_bits_everywhere(experiment, run):
    """All modes at once, agents of different lengths, modules tried out: 1 process, 2, 3 and 4 ranks."""
    file = experiment("all", 4, MODULES, TRIED_OUT, PARAMETERS, DATA, UNEQUAL)
    oracle = run(file, "inprocess", "--driver", "inprocess")
    wanted = bits(oracle)
    for ranks in (2, 3, 4):
        assert bits(run(file, f"mpi-{ranks}", "-n", str(ranks))) == wanted, f"{ranks} ranks"
    made = decisions(oracle)
    modules = [[one.module for one in agent if one.kept] for agent in made]
    assert modules == [[3, 4, 5], [3, 4, 5], [], [3, 4]]
    received = [one for agent in made for one in agent if one.received]
    assert received and {one.source for one in received} <= {0, 1, 3}  # agent 2 has nothing to offer
    # stopped inside a task by one driver, gone on with by the other
    run(file, "stopped", "-n", "2", "--until", "13 epochs", status=75)
    assert bits(run(file, "stopped", "--driver", "inprocess")) == wanted


@pytest.mark.timeout(200)
def test_modules_by_class_overlap_give_the_same_bits_on_a_ring(experiment, run):
    file = experiment("label", 3, MODULES, PARAMETERS, topology="ring")
    oracle = run(file, "inprocess", "--driver", "inprocess")
    assert bits(run(file, "mpi", "-n", "2")) == bits(oracle)
    similarities = [one.similarity for agent in decisions(oracle) for one in agent if one.received]
    assert similarities and set(np.round(similarities, 6)) <= {0.0, round(1 / 3, 6), 1.0}


@pytest.mark.timeout(200)
def test_neighbours_with_nothing_to_offer_change_nothing(experiment, run):
    """Questions are asked and nothing comes: every agent learns as if it were alone."""
    nothing = ["--set", "learning.threshold=100"]
    asked = run(experiment("asked", 3, MODULES, tasks=4), "asked", "--driver", "inprocess", *nothing)
    alone = run(experiment("alone", 3, tasks=4), "alone", "--driver", "inprocess", *nothing)
    assert bits(asked)["digest"] == bits(alone)["digest"]
    assert not any(one.received or one.kept for agent in decisions(asked) for one in agent)
    assert load_run(asked).total("wire_bytes") > 0


@pytest.mark.timeout(200)
def test_different_nets_share_what_fits_and_say_what_does_not(experiment, run, mpidcl):
    file = experiment("different", 3, MODULES, DATA, CONVOLUTIONAL)
    told = mpidcl("run", file, "--out", "inprocess", "--driver", "inprocess")
    assert told.returncode == 0, told.stderr
    oracle = file.parent / "inprocess"
    assert bits(run(file, "mpi", "-n", "2")) == bits(oracle)
    made = decisions(oracle)
    sources = [{one.source for one in agent if one.received} for agent in made]
    assert sources == [{1}, {0}, set()]
    assert any(one.kept for one in made[2])
    for agent in (0, 1):
        assert f"agents {agent} and 2 exchange no modules" in told.stderr
    assert "[8, 9] at agent 0" in told.stderr and "[4, 37] at agent 2" in told.stderr


@pytest.mark.timeout(100)
def test_different_nets_are_not_averaged(experiment, mpidcl):
    file = experiment("refused", 3, PARAMETERS, CONVOLUTIONAL)
    refused = mpidcl("run", file, "--driver", "inprocess")
    assert refused.returncode == 2
    assert "agents 0 and 2 should have the same shared tensors" in refused.stderr
    assert "[72] at agent 0 and [148] at agent 2" in refused.stderr
