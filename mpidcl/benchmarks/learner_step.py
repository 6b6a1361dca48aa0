"""`mpidcl bench learner`: steps of the gradient learner beside a loop in plain PyTorch, on one thread.

An epoch of one task: shuffle, gather each batch, pass forward and backward, Adam. The net of DCL, whose steps
are mostly book-keeping, and ordinary perceptrons, whose steps are mostly matrix products.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.benchmarks.case import Work
from mpidcl.benchmarks.devices import use_threads
from mpidcl.benchmarks.table import time_text
from mpidcl.benchmarks.timing import in_turn, ratio
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.stream.tasks import Rows, StreamShape, Task

ROWS, BATCH, CLASSES = 2560, 64, 10
SHAPE = (1, 28, 28)
PLAIN, OURS = "plain PyTorch", "mpidcl"
DCL = "DCL: frozen 784-64, 4 x 64, dropout"
NETS = {
    DCL: "width = 64",
    "MLP 784-256-256-10": "hidden = [256, 256], dropout = 0.0",
    "MLP 784-1024-1024-10": "hidden = [1024, 1024], dropout = 0.0",
}
EXPERIMENT = """
name = "learner"
agents = 1
stream = {{kind = "serial", dataset = "digits", tasks = 1, classes_per_task = 10}}
model = {{kind = "mlp", {model}}}
learning = {{kind = "gradient", optimizer = "adam", batch = {batch}}}
"""
COLUMNS = ("net", "", "a step", "times plain")


class LearnerRow(TypedDict):
    """What is measured of one net and contestant."""

    bench: str
    net: str
    name: str
    cpu_s: float
    times_plain: float


def measure(rounds: int) -> Iterator[LearnerRow]:
    """One row for each net and contestant: CPU seconds of a step, and the median ratio to the plain loop."""
    use_threads(1)
    for net in NETS:
        seconds = in_turn(contestants(net), rounds, clock=time.process_time)
        for name, found in seconds.items():
            yield {
                "bench": "learner",
                "net": net,
                "name": name,
                "cpu_s": median(found) * BATCH / ROWS,
                "times_plain": ratio(found, seconds[PLAIN]),
            }


def contestants(net: str) -> dict[str, Work]:
    """An epoch of each, on the same rows."""
    task = _task()
    plain = {PLAIN: False, f"{PLAIN}, fused Adam": True}
    return {name: _plain(net, task, fused) for name, fused in plain.items()} | {OURS: _ours(net, task)}


def _task() -> Task:
    """Noise: what is learned changes no time."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (ROWS, *SHAPE), np.uint8)
    rows = Rows(pixels, np.arange(ROWS), rng.integers(0, CLASSES, ROWS))
    return Task(0, "noise", tuple(range(CLASSES)), rows, rows.part(slice(0)), rows.part(slice(0)), head=0)


def learner(net: str, task: Task) -> GradientLearner:
    """Our learner at the beginning of `task`."""
    experiment = from_toml(EXPERIMENT.format(model=NETS[net], batch=BATCH))
    made = GradientLearner(experiment, 0, StreamShape(SHAPE, 1, CLASSES, "task"))
    made.begin_task(task)
    return made


def _ours(net: str, task: Task) -> Work:
    made = learner(net, task)

    def epoch() -> None:
        for _ in made.learn(0, 0):
            raise RuntimeError("A learner that shares nothing should ask nobody.")

    return epoch


def plain_net(net: str) -> nn.Sequential:
    """The same net as a user would write it."""
    if net == DCL:
        layers = [[nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5)] for _ in range(4)]
        frozen = nn.Linear(784, 64).requires_grad_(False)
        return nn.Sequential(frozen, *(part for layer in layers for part in layer), nn.Linear(64, CLASSES))
    hidden = int(net.split("-")[1])
    return nn.Sequential(
        *(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
        nn.Linear(hidden, CLASSES),
    )


def _plain(net: str, task: Task, fused: bool) -> Work:
    x, y = torch.from_numpy(task.train.x()).flatten(1), torch.from_numpy(task.train.y)
    made = plain_net(net).train()
    learning = [p for p in made.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, fused=fused or None)

    def step(chosen: Tensor) -> None:
        optimizer.zero_grad()
        functional.cross_entropy(made(x[chosen]), y[chosen]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def epoch() -> None:
        for chosen in torch.split(torch.randperm(ROWS), BATCH):
            step(chosen)

    return epoch


def line(row: LearnerRow) -> str:
    """A row for a terminal."""
    net, name, step, times = cells(row)
    return f"{net:<38}{name:<28}{step:>10}{times:>7}"


def cells(row: LearnerRow) -> list[str]:
    """The texts of one row, one for each of `COLUMNS`."""
    return [row["net"], row["name"], time_text(row["cpu_s"]), f"{row['times_plain']:.2f}"]


def markdown(rows: Sequence[LearnerRow]) -> list[str]:
    """The table as lines of a docs page."""
    table = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    return [*table, *("| " + " | ".join(cells(row)) + " |" for row in rows)]
