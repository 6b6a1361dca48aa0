"""GEM: no step makes the loss of an old task larger, to first order (Lopez-Paz and Ranzato 2017)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.terms.base import Term, TermHost
from mpidcl.learning.terms.beside import Beside
from mpidcl_kernels.base.types import Doubles
from mpidcl_kernels.simplex import non_negative_least_squares


class GEM(Term):
    """g + sum_k v_k g_k: g_k is the gradient of all remembered rows of task k, which has ended.

    Gradient episodic memory (Lopez-Paz and Ranzato 2017, arXiv 1706.08840, section 3). Where some g.g_k < 0,
    v minimises ||g + sum_k v_k g_k|| with v_k >= margin: with margin 0 the result is the vector nearest to g
    that no g_k disagrees with. Each step costs a pass over all remembered rows. Heads of old tasks take part
    in a step to which their gradient was added, and in no other.
    """

    class Options(Options):
        """How far steps lean to old tasks."""

        margin: float = Field(
            0.5, ge=0, le=1e6, description="least weight of old gradients in a changed step"
        )

    options: Options
    name = "gem"
    turn = 1

    def __init__(self, options: Options, host: TermHost) -> None:
        super().__init__(options, host)
        self._beside = Beside(host)
        self._old: list[Prepared] | None = None
        self._gradients = host.parameters.grad.new_zeros(0, 0)

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A memory whose rows of old tasks change while another one is learned."""
        yield from super().problems(use)
        if use.mine.memory.insert != "task end":
            yield Problem(
                ("memory", "insert"),
                'should be "task end" with the term "gem", which keeps what a task has left at its end. Found'
                f' "{use.mine.memory.insert}". The term "agem" goes with both',
            )

    def after_task(self, task: int) -> None:
        self._old = None

    def load(self, state: State) -> None:
        self._old = None

    def _tasks(self) -> list[Prepared]:
        """Rows of each task that has ended, and of which there are some."""
        if self._old is None:
            ended = self.host.tasks.ended
            every = (self.host.remembered((*self.host.current, *others(ended, u))) for u in ended)
            self._old = [rows for rows in every if len(rows)]
            size = self.host.parameters.grad.numel()
            self._gradients = self.host.parameters.grad.new_zeros(len(self._old) + 1, size)
        return self._old

    def on_gradient(self, grad: Tensor, batch: Batch) -> None:
        tasks, gradients = self._tasks(), self._gradients
        if not tasks:
            return
        gradients[0] = grad
        for rows, own in zip(tasks, gradients[1:], strict=True):
            self._beside.gradient(rows, own)
        gram = (gradients @ gradients.T).double().cpu().numpy()
        if (gram[0, 1:] < 0).any():
            weights = step_weights(gram, self.options.margin)
            torch.mv(gradients.T, torch.from_numpy(weights).to(grad), out=grad)
            for rows, weight in zip(tasks, weights[1:], strict=True):
                batch.present[rows.heads.cpu().numpy()] |= bool(weight)


def others(tasks: tuple[int, ...], but: int) -> tuple[int, ...]:
    """All tasks but one."""
    return tuple(u for u in tasks if u != but)


def step_weights(gram: Doubles, margin: float) -> Doubles:
    """Weights [1 + k], the first one 1, of the shortest sum of vectors with Gram matrix `gram`; the others at
    least `margin`.

    >>> step_weights(np.array([[2.0, -1.0], [-1.0, 1.0]]), 0.0).round(9)
    array([1., 1.])
    """
    values, vectors = np.linalg.eigh(gram)
    root = np.sqrt(values.clip(0))[:, None] * vectors.T
    least = np.full(len(gram), margin)
    least[0] = 1
    more = non_negative_least_squares(root[:, 1:], -root @ least)
    return np.asarray(least + np.append(0.0, more))
