"""ER-ACE: rows that come do not push the outputs of old classes down (Caccia et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.experiment import kinds
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch
from mpidcl.learning.terms.base import Draw, TermHost
from mpidcl.learning.terms.rehearsing import Drawing, Rehearsing


class ERACE(Rehearsing):
    """loss(x among the classes of the batch and those never seen) + loss(x'), x' drawn from the memory.

    Experience replay with asymmetric cross-entropy (Caccia et al. 2022, arXiv 2104.05025): classes that have
    been seen before and are not in the batch stay out of the loss of its rows; the loss of x' is among all
    classes. Both begin with the second task, or with the first step if `task_free`.
    """

    class Options(Drawing):
        """When it begins."""

        task_free: bool = Field(False, description="begin with the first step, not with the second task")

    options: Options
    name = "er-ace"

    def __init__(self, options: Options, host: TermHost) -> None:
        super().__init__(options, host)
        shape = host.model.shape
        none = torch.zeros(shape.heads, shape.classes_per_head, dtype=torch.bool)
        self._seen = none.to(host.parameters.device)

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """An objective that knows no classes."""
        yield from super().problems(use)
        objective = use.mine.learning.objective.kind
        if use.mine.learning.objective.used and not kinds.resolve("objective", objective).classes:
            yield Problem(
                ("learning", "objective"),
                f'should know classes with the term "er-ace", such as "classification". Found "{objective}"',
            )

    @property
    def _acts(self) -> bool:
        return self.options.task_free or bool(self.host.tasks.ended)

    def draws(self) -> tuple[Draw, ...]:
        return (Draw(self.per_step, beside=True, quick=True),)

    def competing(self, batch: Batch) -> Tensor | None:
        own = len(batch) if batch.index is None else len(batch.index)
        heads, y = batch.heads[:own], batch.y[:own]
        self._seen[heads, y] = True
        if not self._acts:
            return None
        here = torch.zeros_like(self._seen)
        here[heads, y] = True
        outputs = (here | ~self._seen)[batch.heads]
        outputs[own:] = True  # rows that have joined compete as they would alone
        return outputs

    def loss(self, batch: Batch) -> Tensor | None:
        if self not in batch.drawn or not self._acts:
            return None
        (rows,) = batch.drawn[self]
        return self.host.objective.loss_of(self.host.outputs(rows), rows.y)

    def state(self) -> State:
        return {"seen": self._seen.cpu().numpy().copy()}

    def load(self, state: State) -> None:
        self._seen.copy_(torch.from_numpy(np.asarray(state["seen"], dtype=np.bool_)))
