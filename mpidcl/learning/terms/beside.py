"""Gradients of other losses than that of the step."""

from __future__ import annotations

from torch import Tensor

from mpidcl.learning.batches import Prepared
from mpidcl.learning.terms.base import TermHost
from mpidcl.model.flat import aligned


class Beside:
    """Makes gradients of the objective on some rows; that of the step stays as it is."""

    def __init__(self, host: TermHost) -> None:
        self._host = host
        self._kept = aligned(host.parameters.grad.numel(), host.parameters.device)

    def gradient(self, rows: Prepared, out: Tensor) -> None:
        """Write the gradient of the mean loss of `rows` to `out [p]`, a vector like `parameters.grad`."""
        host = self._host
        self._kept.copy_(host.parameters.grad)
        host.parameters.backward(host.objective.loss_of(host.outputs(rows), rows.y), out)
        host.parameters.grad.copy_(self._kept)
