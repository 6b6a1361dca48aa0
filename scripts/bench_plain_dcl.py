#!/usr/bin/env python
"""What mpidcl is compared with: isolated DCL agents on MNIST-like tasks in plain PyTorch.

As a user would write it who knows PyTorch well: tensors in memory, no DataLoader, one model and one
torch.optim.Adam per agent. Same protocol as `examples/dcl/monolithic-isolated.toml`: 4 joint tasks, then one
by one; 100 epochs, batches of 64, dropout, replay of 32 rows per old task, evaluation of all tasks so far at
epochs 0, 1, 11, .., 91, 100.

    python scripts/bench_plain_dcl.py tasks.npz [--epochs 100]

The file holds, for every agent a and task t, arrays `a/t/train_x` [n, d] or [n, c, h, w] float32,
`a/t/train_y` [n] int64, `a/t/test_x`, `a/t/test_y`. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Train = Callable[[Sequence["PlainTask"], int, int], list[float]]
JOINT, BATCH, REPLAY, EVERY = 4, 64, 32, 10


@dataclass
class PlainTask:
    """Rows of one task, images flattened: x [n, d], y [n]."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


class Net(nn.Module):
    """Frozen random projection, 4 hidden layers of 64 with dropout, one head per task."""

    def __init__(self, inputs: int, tasks: int, classes: int) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, 64).requires_grad_(False)
        layers = [[nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5)] for _ in range(4)]
        self.body = nn.Sequential(*(layer for block in layers for layer in block))
        self.heads = nn.ModuleList(nn.Linear(64, classes) for _ in range(tasks))

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.body(self.project(x))
        return hidden


def batches(x: Tensor, y: Tensor, t: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    order = torch.randperm(len(x))
    return [(x[rows], y[rows], t[rows]) for rows in order.split(BATCH)]


def train_step(net: Net, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, t: Tensor) -> None:
    hidden = net(x)
    loss = torch.zeros(())
    for task in t.unique().tolist():
        own = t == task
        loss = loss + functional.cross_entropy(net.heads[task](hidden[own]), y[own], reduction="sum")
    optimizer.zero_grad()
    (loss / len(x)).backward()
    optimizer.step()


@torch.no_grad()
def accuracies(net: Net, tasks: Sequence[PlainTask]) -> list[float]:
    net.eval()
    found = [
        (net.heads[u](net(task.test_x)).argmax(1) == task.test_y).float().mean().item()
        for u, task in enumerate(tasks)
    ]
    net.train()
    return found


def labelled(task: PlainTask, number: int) -> tuple[Tensor, Tensor, Tensor]:
    return task.train_x, task.train_y, torch.full((len(task.train_x),), number)


def evaluation_epochs(epochs: int) -> set[int]:
    return {*range(1, epochs + 1, EVERY), epochs}


def train_agent(tasks: Sequence[PlainTask], seed: int, epochs: int) -> list[float]:
    """Train one agent on all tasks in order; returns the accuracy on each task at the end."""
    torch.manual_seed(seed)
    classes = 1 + max(int(task.train_y.max()) for task in tasks)
    net = Net(tasks[0].train_x.shape[1], len(tasks), classes)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad])
    replay: list[tuple[Tensor, Tensor, Tensor]] = []
    found: list[float] = []
    joint = min(JOINT, len(tasks))
    for number in range(joint - 1, len(tasks)):
        current = [labelled(tasks[u], u) for u in (range(joint) if number == joint - 1 else [number])]
        if number == joint - 1:
            groups = current
        else:
            groups = [tuple(torch.cat(parts) for parts in zip(*current, *replay, strict=True))]
        accuracies(net, tasks[: number + 1])
        for epoch in range(1, epochs + 1):
            for turn in zip_longest(*(batches(*group) for group in groups)):
                for batch in turn:
                    if batch is not None:
                        train_step(net, optimizer, *batch)
            if epoch in evaluation_epochs(epochs):
                found = accuracies(net, tasks[: number + 1])
        for x, y, t in current:
            kept = torch.randperm(len(x))[:REPLAY]
            replay.append((x[kept], y[kept], t[kept]))
    return found


def read_tasks(path: str) -> list[list[PlainTask]]:
    """Tasks of every agent from an .npz file."""
    with np.load(path) as file:
        pairs = sorted({tuple(int(n) for n in key.split("/")[:2]) for key in file.files})
        agents: dict[int, list[PlainTask]] = {}
        for agent, task in pairs:
            arrays = {
                name: torch.from_numpy(file[f"{agent}/{task}/{name}"]) for name in PlainTask.__annotations__
            }
            plain = PlainTask(
                **{n: a.flatten(1) if n.endswith("_x") else a.long() for n, a in arrays.items()}
            )
            agents.setdefault(agent, []).append(plain)
    return list(agents.values())


def run(
    agents: Sequence[Sequence[PlainTask]], epochs: int = 100, seed: int = 0, train: Train = train_agent
) -> dict[str, float]:
    """Train all agents one after the other; CPU and wall seconds, and the mean final accuracy."""
    wall, cpu = time.perf_counter(), time.process_time()
    final = [np.mean(train(tasks, seed + agent, epochs)) for agent, tasks in enumerate(agents)]
    return {
        "agents": len(agents),
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "final_accuracy": float(np.mean(final)),
    }


def main(train: Train = train_agent, description: str | None = __doc__) -> None:
    """Read the tasks, train all agents, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", help="an .npz file with the tasks of all agents")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(json.dumps(run(read_tasks(arguments.tasks), arguments.epochs, arguments.seed, train)))


if __name__ == "__main__":
    main()
