"""Small nets with a batch from a memory, and what an editor is given about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from learning_fakes import model, shape
from torch import Tensor
from torch.nn import functional

from mpidcl.learning.editing.base import EditMoment
from mpidcl.learning.editing.operator import parameter_gradient
from mpidcl.model.base import Model

NETS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "mlp": ("mlp", {"hidden": [32, 16], "dropout": 0.0}, (1, 12, 12)),
    "mlp with dropout": ("mlp", {"hidden": [32, 16], "dropout": 0.3}, (1, 12, 12)),
    "projected mlp": ("mlp", {"width": 16, "dropout": 0.0}, (1, 12, 12)),
    "cnn": ("cnn", {"channels": [8, 12], "dropout": 0.2}, (3, 12, 12)),
    "resnet": ("resnet18", {"width": 6, "stem": "cifar"}, (3, 16, 16)),
}
CLASSES = 5


@dataclass
class Setting:
    """A net in training mode, a batch of it, and its loss by torch operations alone."""

    net: Model
    x: Tensor
    y: Tensor
    loss: Callable[[Tensor], Tensor]

    def gradient(self, x: Tensor | None = None) -> Tensor:
        return parameter_gradient(self.loss, self.net.flat, self.x if x is None else x)

    def vector(self, seed: int = 0) -> Tensor:
        """What another batch's gradient has and the memory's has not: a direction that matters."""
        torch.manual_seed(seed)
        return (self.gradient(torch.rand_like(self.x)) - self.gradient()) / 2


def setting(name: str, rows: int = 12, low: float = 0.2, high: float = 0.8) -> Setting:
    """A net of `NETS` with pixels well inside their range, so that small steps are not clipped."""
    kind, options, input_shape = NETS[name]
    net = model(kind, options, shape(input_shape, heads=1, classes=CLASSES))
    net.train()
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.uniform(low, high, (rows, *input_shape)).astype(np.float32))
    y = torch.from_numpy(rng.integers(0, CLASSES, rows))

    def loss(x: Tensor) -> Tensor:
        net.noise.restart(0, 0, "dropout of this step")
        return functional.cross_entropy(net.heads.one(net.encode(net.prepare(x)), 0), y)

    return Setting(net, x, y, loss)


def moment(at: Setting, seed: int = 0, **others: Any) -> EditMoment:
    """What an editor is given: the common direction lies halfway to another batch's gradient."""
    memory, lacking = at.gradient(), at.vector(seed)
    given = {
        "memory_gradient": memory,
        "direction": memory + lacking,
        "new_gradient": memory + 2 * lacking,
        "age": np.zeros(len(at.x), dtype=np.int64),
        "rng": np.random.default_rng(seed),
    }
    return EditMoment(x=at.x, loss=at.loss, flat=at.net.flat, **(given | others))


def relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())
