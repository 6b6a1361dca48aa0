"""`mpidcl bench experts`: steps of a model of N experts, 2 for each row, beside dense nets, on one thread.

The dense net has as many operations for a row as two experts and the encoder; "plain PyTorch" is the same
model of experts as a user would write it, a loop over experts with a mask of rows each.
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
from mpidcl.experiment import kinds
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.stream.tasks import Rows, StreamShape, Task

ROWS, CLASSES, ACTIVE = 1280, 10, 2
SHAPE = (1, 28, 28)
WIDTHS, BATCHES, COUNTS = (64, 256), (10, 64, 256), (4, 8, 16, 64)
DENSE, PLAIN = "dense net", "8 experts, plain PyTorch"
EXPERIMENT = """
name = "experts"
agents = 1
stream = {{kind = "serial", dataset = "digits", incremental = "class"}}
model = {{{model}}}
learning = {{kind = "{kind}", optimizer = "sgd", lr = 0.03, batch = {batch}}}
"""
COLUMNS = ("units", "batch", "", "a step", "times dense")


class ExpertsRow(TypedDict):
    """What is measured of one size and contestant."""

    bench: str
    width: int
    batch: int
    name: str
    cpu_s: float
    times_dense: float


def measure(rounds: int) -> Iterator[ExpertsRow]:
    """One row for each size and contestant: CPU seconds of a step, and the median ratio to the dense net."""
    use_threads(1)
    for width in WIDTHS:
        for batch in BATCHES:
            seconds = in_turn(contestants(width, batch), rounds, clock=time.process_time)
            for name, found in seconds.items():
                yield {
                    "bench": "experts",
                    "width": width,
                    "batch": batch,
                    "name": name,
                    "cpu_s": median(found) / (ROWS // batch),
                    "times_dense": ratio(found, seconds[DENSE]),
                }


def contestants(width: int, batch: int) -> dict[str, Work]:
    """An epoch of each, on the same rows."""
    dense = f'kind = "mlp", hidden = [{2 * width}, {ACTIVE * width}, {width}], dropout = 0.0'
    found = {DENSE: _ours("gradient", dense, batch)}
    for count in COUNTS:
        sizes = f"experts = {count}, active = {ACTIVE}, encoder = [{2 * width}], hidden = {width}"
        model = f'kind = "experts-mlp", {sizes}, width = {width}'
        found[f"{count} experts"] = _ours("experts", model, batch)
    return found | {PLAIN: _plain(width, batch)}


def _task() -> Task:
    """Noise: what is learned changes no time."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (ROWS, *SHAPE), np.uint8)
    rows = Rows(pixels, np.arange(ROWS), rng.integers(0, CLASSES, ROWS))
    return Task(0, "noise", tuple(range(CLASSES)), rows, rows.part(slice(0)), rows.part(slice(0)), head=0)


def _ours(kind: str, model: str, batch: int) -> Work:
    experiment = from_toml(EXPERIMENT.format(kind=kind, model=model, batch=batch))
    made: GradientLearner = kinds.resolve("learner", kind)(
        experiment, 0, StreamShape(SHAPE, 1, CLASSES, "class")
    )
    made.begin_task(_task())

    def epoch() -> None:
        for _ in made.learn(0, 0):
            raise RuntimeError("A learner that shares nothing should ask nobody.")

    return epoch


class _Plain(nn.Module):
    """Two of eight experts, as most public code has it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder, self.router = nn.Linear(784, 2 * width), nn.Linear(2 * width, 8)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
            for _ in range(8)
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.encoder(x))
        top = self.router(x).topk(ACTIVE, 1)
        gates = top.values.softmax(1)
        y = x.new_zeros(len(x), x.shape[1] // 2)
        for number, expert in enumerate(self.experts):
            rows, place = torch.where(top.indices == number)
            y = y.index_add(0, rows, gates[rows, place].unsqueeze(1) * expert(x[rows]))
        found: Tensor = self.head(y)
        return found


def _plain(width: int, batch: int) -> Work:
    rows = _task().train
    x, y = torch.from_numpy(rows.x()).flatten(1), torch.from_numpy(rows.y)
    made = _Plain(width)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.03)

    def epoch() -> None:
        for chosen in torch.split(torch.randperm(ROWS), batch):
            optimizer.zero_grad()
            functional.cross_entropy(made(x[chosen]), y[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return epoch


def line(row: ExpertsRow) -> str:
    """A row for a terminal."""
    width, batch, name, step, times = cells(row)
    return f"{width:>6}{batch:>7}  {name:<28}{step:>10}{times:>7}"


def cells(row: ExpertsRow) -> list[str]:
    """The texts of one row, one for each of `COLUMNS`."""
    step, times = time_text(row["cpu_s"]), f"{row['times_dense']:.2f}"
    return [str(row["width"]), str(row["batch"]), row["name"], step, times]


def markdown(rows: Sequence[ExpertsRow]) -> list[str]:
    """The table as lines of a docs page."""
    table = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    return [*table, *("| " + " | ".join(cells(row)) + " |" for row in rows)]
