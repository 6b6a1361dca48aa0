"""Experiments of which every way to run them gives the same bits."""

from __future__ import annotations

COMMON = """
seed = 3
[network]
topology = "TOPOLOGY"
[stream]
dataset = "digits"
tasks = 3
classes_per_task = 2
replacement = true
train_per_class = 16
validation_per_class = 8
joint_tasks = 2
[learning]
epochs = 4
batch = 16
[evaluation]
every = 2
"""
PARAMETERS = """
[[exchange]]
kind = "parameters"
when = "before"
every = "2 epochs"
"""
DATA = """
[[exchange]]
kind = "data"
when = "after"
every = "2 epochs"
choose = "hard-examples"
queries = 3
neighbours = 2
pixels = "float32"
"""
MAIL = (
    """
[clock]
kind = "virtual"
away = 0.2
absence = "2 s"
[network.conditions]
latency = "600 ms"
bandwidth = "20 kB/s"
jitter = "2 s"
loss = "20 %"
burst = 3.0
[[exchange]]
kind = "parameters"
when = "after"
every = "1 epoch"
silent = "newest"
"""
    + DATA
)
UNEVEN = """
[[agent]]
ids = [1, 2]
clock = { rate = 0.4 }
"""
# other task lengths: fewer epochs, more epochs, fewer tasks
UNEQUAL = """
[[agent]]
ids = [0]
learning = { epochs = 6 }
[[agent]]
ids = [1]
learning = { epochs = 3 }
[[agent]]
ids = [2]
stream = { tasks = 2, joint_tasks = 1 }
"""


def experiment(name: str, agents: int, topology: str, *parts: str) -> str:
    return f'name = "{name}"\nagents = {agents}\n' + COMMON.replace("TOPOLOGY", topology) + "".join(parts)
