"""Experiments on agents whose modules grow, and what became of them."""

from __future__ import annotations

from pathlib import Path

from mpidcl.learning.compositional.decisions import ModuleDecision
from mpidcl.report.loaded import load_run
from mpidcl.views.modules import counts

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


def experiment(name: str, agents: int, *parts: str, topology: str = "complete", tasks: int = 5) -> str:
    shared = "true" if PARAMETERS in parts and UNEQUAL not in parts else "false"
    common = COMMON.replace("TOPOLOGY", topology).replace("SHARED", shared).replace("TASKS", str(tasks))
    return f'name = "{name}"\nagents = {agents}\n' + common + "".join(parts)


def decisions(folder: Path) -> list[list[ModuleDecision]]:
    """What became of the candidates of each agent."""
    return [counts.decisions(record) for record in load_run(folder).records]
