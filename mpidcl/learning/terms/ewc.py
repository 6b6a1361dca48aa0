"""Online EWC: parameters that mattered to past tasks stay (Kirkpatrick et al. 2017; Schwarz et al. 2018)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch
from mpidcl.learning.gradient.squares import label_fisher
from mpidcl.learning.terms.base import Term, TermHost
from mpidcl.learning.terms.rules import label_problems, silent_notes
from mpidcl.model.flat import writable


class Host(TermHost, Protocol):
    """A learner that counts operations."""

    def counted(self, key: Hashable) -> AbstractContextManager[None]:
        """Count the operations of what is done inside; it costs the same for every use of `key`."""
        ...


class EWC(Term):
    """weight / 2 * sum_p F[p] (w[p] - w*[p])^2 over everything that learns, heads too.

    When a task ends, F <- gamma F + F_task and w* <- w (Schwarz et al. 2018, arXiv 1805.06370). F_task is the
    mean squared gradient of log p(y | x) over the training rows, a gradient for each row. Silent in the first
    task. Its gradient is added in place: no term of the loss has to be differentiated at a step.
    """

    class Options(Options):
        """Strength and kind of the pull."""

        weight: float = Field(1.0, ge=0, description="lambda; the penalty has half of it, see above")
        gamma: float = Field(1.0, ge=0, le=1, description="what is left of the old F at the end of a task")
        fisher: Literal["label", "weighted"] = Field(
            "label", description="F by the labels of the rows, or with each square times p(label of the row)"
        )

    options: Options
    host: Host
    name = "ewc"
    reads_memory = False
    needs = ("counted",)

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """An objective without labels."""
        yield from label_problems(use, "ewc", "F is that of p(label | row)")

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """It never acts."""
        yield from silent_notes(use, "ewc")

    def __init__(self, options: Options, host: Host) -> None:
        super().__init__(options, host)
        self._weights = host.parameters.data[: len(host.parameters.grad)]
        self._away = torch.zeros_like(self._weights)
        self._known: tuple[Tensor, Tensor] | None = None

    def penalty(self) -> float:
        """Its value now; 0 as long as it is silent."""
        if self._known is None:
            return 0.0
        fisher, anchor = (part.double() for part in self._known)
        return 0.5 * self.options.weight * float((fisher * (self._weights.double() - anchor).square()).sum())

    def on_gradient(self, grad: Tensor, batch: Batch) -> None:
        if self._known is None:
            return
        fisher, anchor = self._known
        torch.sub(self._weights, anchor, out=self._away)
        grad.addcmul_(fisher, self._away, value=self.options.weight)

    def after_task(self, task: int) -> None:
        host, options = self.host, self.options
        rows = host.tasks.training(task)
        with host.counted(("fisher", task, len(rows))):
            found = label_fisher(host.model, rows, options.fisher == "weighted")
        if self._known is not None:
            # Of joint tasks, which end together, the first lets the past fade.
            fade = options.gamma if task == host.current[0] else 1.0
            found = found.add_(self._known[0], alpha=fade)
        self._known = found, self._weights.clone()

    def replaced(self, places: slice | Tensor) -> None:
        if self._known is not None:
            fisher, anchor = self._known
            fisher[places] = 0
            anchor[places] = self._weights[places]

    def state(self) -> State:
        if self._known is None:
            return {}
        fisher, anchor = (part.cpu().numpy().copy() for part in self._known)
        return {"fisher": fisher, "anchor": anchor}

    def load(self, state: State) -> None:
        self._known = None
        if state:
            fisher, anchor = (
                writable(state[name]).to(self._weights, copy=True) for name in ("fisher", "anchor")
            )
            self._known = fisher, anchor
