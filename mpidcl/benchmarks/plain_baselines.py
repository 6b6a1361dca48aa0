"""Continual baselines as one writes them in plain PyTorch, in the manner of the public code of their authors.

The first net and sizes are those of split MNIST in that code: 784-100-100-10, SGD, batches of 10 rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN, CLASSES = 100, 10
CAPACITY = 200
Step = Callable[[Tensor, Tensor, Tensor], None]
"""A step on rows x [n, 784] with labels y [n] and places in the task [n]."""


class Kept(NamedTuple):
    """Rows of a buffer: x [n, 784], y [n], logits [n, 10]."""

    x: Tensor
    y: Tensor
    logits: Tensor


class Buffer:
    """A reservoir, row by row."""

    def __init__(self) -> None:
        self._rows = Kept(
            torch.zeros(CAPACITY, 784),
            torch.zeros(CAPACITY, dtype=torch.long),
            torch.zeros(CAPACITY, CLASSES),
        )
        self._seen = 0
        self._rng = np.random.default_rng(0)

    def add(self, x: Tensor, y: Tensor, logits: Tensor) -> None:
        """Offer rows."""
        for row in range(len(x)):
            place = self._seen if self._seen < CAPACITY else int(self._rng.integers(self._seen + 1))
            self._seen += 1
            if place < CAPACITY:
                for kept, new in zip(self._rows, (x, y, logits), strict=True):
                    kept[place] = new[row]

    def draw(self, rows: int) -> Kept:
        """So many rows, all different."""
        held = min(self._seen, CAPACITY)
        chosen = torch.from_numpy(self._rng.choice(held, min(rows, held), replace=False))
        return Kept(*(kept[chosen] for kept in self._rows))

    def __len__(self) -> int:
        return min(self._seen, CAPACITY)


class Plain:
    """Net and optimiser of a baseline, and one step of each."""

    def __init__(self, lr: float, weight_decay: float = 0.0) -> None:
        self.net = nn.Sequential(
            *(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()),
            nn.Linear(HIDDEN, CLASSES),
        )
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr, weight_decay=weight_decay)
        self.buffer = Buffer()
        size = len(self._weights())
        self._omega, self._anchor = torch.rand(size), self._weights()
        self._path = torch.zeros(size)
        self._taught = torch.randn(4096, CLASSES)

    def _weights(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.net.parameters()])

    def _gradient(self) -> Tensor:
        return torch.cat([p.grad.reshape(-1) for p in self.net.parameters() if p.grad is not None])

    def _move(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _add_to_gradient(self, more: Tensor) -> None:
        start = 0
        for p in self.net.parameters():
            assert p.grad is not None
            p.grad += more[start : start + p.numel()].view(p.shape)
            start += p.numel()

    def sgd(self, x: Tensor, y: Tensor, place: Tensor) -> None:
        """No means against forgetting."""
        self._move(functional.cross_entropy(self.net(x), y))

    def er(self, x: Tensor, y: Tensor, place: Tensor) -> None:
        """Experience replay: the draw is part of the batch."""
        rows = len(x)
        if len(self.buffer):
            drawn = self.buffer.draw(10)
            x, y = torch.cat([x, drawn.x]), torch.cat([y, drawn.y])
        logits = self.net(x)
        self._move(functional.cross_entropy(logits, y))
        self.buffer.add(x[:rows], y[:rows], logits[:rows].detach())

    def derpp(self, x: Tensor, y: Tensor, place: Tensor) -> None:
        """DER++ with draws of 128 rows."""
        logits = self.net(x)
        loss = functional.cross_entropy(logits, y)
        if len(self.buffer):
            first, second = self.buffer.draw(128), self.buffer.draw(128)
            loss = loss + 0.2 * functional.mse_loss(self.net(first.x), first.logits)
            loss = loss + functional.cross_entropy(self.net(second.x), second.y)
        self._move(loss)
        self.buffer.add(x, y, logits.detach())

    def ewc(self, x: Tensor, y: Tensor, place: Tensor) -> None:
        """The penalty of elastic weight consolidation, written into the gradient."""
        self.optimizer.zero_grad()
        functional.cross_entropy(self.net(x), y).backward()  # type: ignore[no-untyped-call]
        self._add_to_gradient(90 * 2 * self._omega * (self._weights() - self._anchor) / 1e4)
        self.optimizer.step()

    def si(self, x: Tensor, y: Tensor, place: Tensor) -> None:
        """Synaptic intelligence: penalty, and the path integral."""
        self.optimizer.zero_grad()
        functional.cross_entropy(self.net(x), y).backward()  # type: ignore[no-untyped-call]
        gradient, before = self._gradient(), self._weights()
        self._add_to_gradient(2 * self._omega * (before - self._anchor) / 1e4)
        nn.utils.clip_grad_value_(self.net.parameters(), 1)
        self.optimizer.step()
        self._path += gradient * (before - self._weights())

    def lwf(self, x: Tensor, y: Tensor, place: Tensor) -> None:
        """Learning without forgetting: outputs of the old model for the rows of the task, as of task 2."""
        logits, taught = self.net(x), self._taught[place]
        old, new = ((one[:, :2].softmax(1)) ** 0.5 for one in (taught, logits))
        kept = -(old / old.sum(1, keepdim=True) * (new / new.sum(1, keepdim=True)).log()).sum(1).mean()
        self._move(functional.cross_entropy(logits, y) + kept)
