#!/usr/bin/env python
"""What mpidcl is compared with: isolated modular DCL agents in plain PyTorch.

As a user would write it, after the public code of the paper: modules in a ModuleList, a structure matrix per
task, gradients switched off where nothing should learn, one torch.optim.Adam for life. Same protocol as
`examples/dcl/modular-isolated.toml`. Tasks, output and options are those of `bench_plain_dcl.py`.

    python scripts/bench_plain_modular.py tasks.npz [--epochs 100]
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch
from bench_plain_dcl import (
    JOINT,
    REPLAY,
    PlainTask,
    batches,
    evaluation_epochs,
    labelled,
    main,
)
from torch import Tensor, nn
from torch.nn import functional

DEPTH, WIDTH, THRESHOLD = 4, 64, 0.05


class Net(nn.Module):
    """Frozen random projection, modules in soft order, one head and one structure per task."""

    def __init__(self, inputs: int, tasks: int, classes: int) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, WIDTH).requires_grad_(False)
        self.components = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH))
        self.dropout = nn.Dropout(0.5)
        self.structures = nn.ParameterList(torch.ones(DEPTH, DEPTH) for _ in range(tasks))
        self.heads = nn.ModuleList(nn.Linear(WIDTH, classes) for _ in range(tasks))
        self.seen = [DEPTH] * tasks
        for task in range(JOINT):
            order = torch.randint(DEPTH, (DEPTH,))
            self.structures[task].data.fill_(-torch.inf)
            self.structures[task].data[order, torch.arange(DEPTH)] = 1.0
            self.structures[task].requires_grad_(False)

    def encode(self, x: Tensor, task: int) -> Tensor:
        weights = torch.softmax(self.structures[task][: self.seen[task]], 0)
        hidden = self.project(x)
        for depth in range(DEPTH):
            total = torch.zeros(())
            for number in range(self.seen[task]):
                output = torch.relu(self.components[number](hidden))
                output = self.dropout(output) if number >= DEPTH else output
                total = total + weights[number, depth] * output
            hidden = total
        return hidden

    def forward(self, x: Tensor, task: int) -> Tensor:
        found: Tensor = self.heads[task](self.encode(x, task))
        return found


def step(net: Net, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, t: Tensor) -> None:
    loss = torch.zeros(())
    for task in t.unique().tolist():
        own = t == task
        loss = loss + functional.cross_entropy(net(x[own], task), y[own], reduction="sum")
    optimizer.zero_grad(set_to_none=True)
    (loss / len(x)).backward()
    optimizer.step()


def learnable(net: Net, modules: bool, task: int | None) -> None:
    """Let modules learn, or the head and the structure of one task."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(modules and name.startswith("components"))
    if task is not None:
        net.heads[task].requires_grad_(True)
        net.structures[task].requires_grad_(True)


def both_ways(net: Net, optimizer: torch.optim.Optimizer, task: int, batch: tuple[Tensor, ...]) -> None:
    """One step with the candidate, one without."""
    step(net, optimizer, *batch)  # type: ignore[arg-type]
    net.seen[task] -= 1
    step(net, optimizer, *batch)  # type: ignore[arg-type]
    net.seen[task] += 1


def learn_task(
    net: Net,
    optimizer: torch.optim.Optimizer,
    tasks: Sequence[PlainTask],
    number: int,
    replay: Sequence[tuple[Tensor, Tensor, Tensor]],
    epochs: int,
) -> list[float]:
    candidate = nn.Linear(WIDTH, WIDTH)
    net.components.append(candidate)
    count = len(net.components)
    net.structures[number] = nn.Parameter(torch.ones(count, DEPTH))
    net.seen[number] = count
    optimizer.add_param_group({"params": [*candidate.parameters(), net.structures[number]]})
    current, found = labelled(tasks[number], number), []
    learnable(net, False, number)
    candidate.requires_grad_(True)
    for epoch in range(1, epochs + 1):
        if epoch == epochs:
            learnable(net, True, None)
            current = tuple(torch.cat(parts) for parts in zip(current, *replay, strict=True))  # type: ignore[assignment]
        for batch in batches(*current):
            both_ways(net, optimizer, number, batch)
        if epoch == epochs:
            keep_or_drop(net, tasks[number], number)
        if epoch in evaluation_epochs(epochs):
            found = task_accuracies(net, tasks[: number + 1])
    return found


@torch.no_grad()
def keep_or_drop(net: Net, task: PlainTask, number: int) -> None:
    """The rows that decide are the test rows here: the file has no others, and this only measures time."""
    rows, wanted = task.test_x[:100], task.test_y[:100]
    net.eval()
    kept = (net(rows, number).argmax(1) == wanted).float().mean()
    net.seen[number] -= 1
    without = (net(rows, number).argmax(1) == wanted).float().mean()
    net.train()
    if kept - without > THRESHOLD * without:
        net.seen[number] += 1
    else:
        net.components = net.components[:-1]


@torch.no_grad()
def task_accuracies(net: Net, tasks: Sequence[PlainTask]) -> list[float]:
    net.eval()
    found = [(net(t.test_x, u).argmax(1) == t.test_y).float().mean().item() for u, t in enumerate(tasks)]
    net.train()
    return found


def train_agent(tasks: Sequence[PlainTask], seed: int, epochs: int) -> list[float]:
    """Train one agent on all tasks in order; returns the accuracy on each task at the end."""
    torch.manual_seed(seed)
    classes = 1 + max(int(task.train_y.max()) for task in tasks)
    net = Net(tasks[0].train_x.shape[1], len(tasks), classes)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad])
    joint = [labelled(tasks[u], u) for u in range(JOINT)]
    found = task_accuracies(net, tasks[:JOINT])
    for epoch in range(1, epochs + 1):
        for turn in zip_longest(*(batches(*group) for group in joint)):
            for batch in turn:
                if batch is not None:
                    step(net, optimizer, *batch)
        if epoch in evaluation_epochs(epochs):
            found = task_accuracies(net, tasks[:JOINT])
    replay = [remembered(*group) for group in joint]
    for number in range(JOINT, len(tasks)):
        task_accuracies(net, tasks[: number + 1])
        found = learn_task(net, optimizer, tasks, number, replay, epochs)
        replay.append(remembered(*labelled(tasks[number], number)))
    return found


def remembered(x: Tensor, y: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    kept = torch.randperm(len(x))[:REPLAY]
    return x[kept], y[kept], t[kept]


if __name__ == "__main__":
    main(train_agent, __doc__)
