"""Synaptic intelligence: parameters by which the loss fell stay where they are (Zenke et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.learning.batches import Batch
from mpidcl.learning.terms.base import Term, TermHost
from mpidcl.learning.terms.rules import silent_notes
from mpidcl.model.flat import writable


class SI(Term):
    """c * sum_p Omega[p] (w[p] - w*[p])^2 over everything that learns (arXiv 1703.04200, equations 4 and 5).

    At each step omega += g (w before - w after), where g is the gradient of the loss alone. When a task ends,
    Omega += omega / ((w - w*)^2 + xi), omega <- 0 and w* <- w. No entry of the gradient that the optimiser
    sees, penalty included, is larger than `clip`, as in Mammoth; the g of omega is not clipped.
    """

    class Options(Options):
        """Strength of the pull."""

        c: float = Field(1.0, ge=0, description="weight of the penalty, without a half")
        xi: float = Field(0.1, ge=1e-12, description="added to the squared way of a parameter in a task")
        clip: float = Field(
            1.0, ge=0, description="largest entry of the gradient of a step, in absolute value; 0: any"
        )

    options: Options
    name = "si"
    reads_memory = False
    turn = 2

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """It never acts."""
        yield from silent_notes(use, "si")

    def __init__(self, options: Options, host: TermHost) -> None:
        super().__init__(options, host)
        self._weights = host.parameters.data[: len(host.parameters.grad)]
        self._anchor = self._weights.clone()
        self._path, self._important, self._slope, self._before, self._away = (
            torch.zeros_like(self._weights) for _ in range(5)
        )
        self._acts = self._steps = False

    def penalty(self) -> float:
        """Its value now."""
        away = self._weights.double() - self._anchor
        return self.options.c * float((self._important.double() * away.square()).sum())

    def on_gradient(self, grad: Tensor, batch: Batch) -> None:
        self._slope.copy_(grad)
        self._before.copy_(self._weights)
        self._steps = True
        if self._acts:
            torch.sub(self._weights, self._anchor, out=self._away)
            grad.addcmul_(self._important, self._away, value=2 * self.options.c)
        if self.options.clip:
            grad.clamp_(-self.options.clip, self.options.clip)

    def after_step(self) -> None:
        if self._steps:  # else the step was along gradients of other agents alone
            self._path.addcmul_(self._slope, self._before.sub_(self._weights))
        self._steps = False

    def after_task(self, task: int) -> None:
        way = (self._weights - self._anchor).square_()
        self._important.add_(self._path.div_(way.add_(self.options.xi)))
        self._path.zero_()
        self._anchor.copy_(self._weights)
        self._acts = True

    def replaced(self, places: slice | Tensor) -> None:
        self._path[places] = self._important[places] = 0
        self._anchor[places] = self._weights[places]

    def state(self) -> State:
        return {name: kept.cpu().numpy().copy() for name, kept in self._kept().items()}

    def load(self, state: State) -> None:
        for name, kept in self._kept().items():
            kept.copy_(writable(state[name]))
        self._acts = bool(self._important.any())

    def _kept(self) -> dict[str, Tensor]:
        return {"path": self._path, "important": self._important, "anchor": self._anchor}
