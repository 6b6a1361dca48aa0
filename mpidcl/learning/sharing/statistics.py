"""BatchNorm statistics of batches that lie on different agents: each moves the running ones once, in order.

A training step in one process runs every batch through the net in turn; each forward pass moves the running
averages. Agents that share a model see only their own batches, so each batch's contribution travels as a fact
beside its gradient and is applied by all, in list order: r <- (1 - momentum) r + contribution.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.model.flat import FlatParameters

Floats = npt.NDArray[np.float32]
MOMENTUM = 0.1
"""Of every BatchNorm layer: torch's default."""


class Statistics:
    """Takes contributions from forward passes and applies those of all batches."""

    def __init__(self, flat: FlatParameters) -> None:
        self._running = flat.buffers
        self._before = torch.empty_like(flat.buffers)

    def __len__(self) -> int:
        return self._running.numel()

    def begin(self) -> None:
        """Remember the running statistics, before a forward pass."""
        self._before.copy_(self._running)

    def contribution(self) -> Tensor:
        """What one forward pass has contributed [b] since `begin`."""
        return self._running - (1 - MOMENTUM) * self._before

    def put_back(self) -> None:
        """The running statistics are those at `begin`."""
        self._running.copy_(self._before)

    def end(self) -> Tensor:
        """What the forward pass contributed [b]; the running statistics are put back."""
        contribution = self.contribution()
        self.put_back()
        return contribution

    def apply(self, contributions: Floats) -> None:
        """Move the running statistics by contributions [n, b], in order."""
        if not len(self):
            return
        for contribution in torch.from_numpy(contributions).to(self._running.device):
            self._running.mul_(1 - MOMENTUM).add_(contribution)
