"""Preservation: what mattered to past tasks is found, and kept (DMKD's preservation protocol)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.gradient.squares import label_fisher
from mpidcl.learning.importance import Score, importance, top
from mpidcl.learning.terms.base import Term, TermHost
from mpidcl.learning.terms.rules import label_problems, silent_notes
from mpidcl.model.flat import writable
from mpidcl.randomness import numpy_generator

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

EPS = 1e-8
"""Of a merge: where neither old nor new Fisher information is above it, the new value stays."""


class Host(TermHost):
    """A learner that counts operations."""

    experiment: Experiment

    def counted(self, key: Hashable) -> AbstractContextManager[None]:
        """Count the operations of what is done inside; it costs the same for every use of `key`."""
        raise NotImplementedError


class Past(NamedTuple):
    """What is known when a task has ended: weights, Fisher information and mask [p], all floats."""

    weights: Tensor
    fisher: Tensor
    mask: Tensor


class Preservation(Term):
    """The most important share of the parameters of each layer, by size, Fisher information or both, is kept.

    regularisation: weight * sum_p mask F (w - w_old)^2 (1 + s) is added to the loss
    injection: when the next task ends, w <- w_old where the mask is
    merge: when the next task ends, w <- (mask F_old w_old + F w) / (mask F_old + F)

    s is the specialisation of the expert that a parameter belongs to, 0 elsewhere: specialised experts are
    protected more. F, a gradient for each row, is that of the labels of some training rows of a task, and
    adds up over tasks. There is no half in the penalty: EWC's lambda is twice its weight. Silent in the first
    task.
    """

    class Options(Options):
        """What is kept, and how."""

        transfer: Literal["regularisation", "injection", "merge"] = Field(
            "regularisation",
            description="how it is kept: by a penalty while later tasks are learned, or when they end",
        )
        score: Score = Field("fisher", description="what is important: magnitude, fisher, or mixed")
        share: float = Field(0.3, gt=0, le=1, description="share of each layer that is kept")
        mix: float = Field(0.5, ge=0, le=1, description="mixed: exponent of the magnitude, 1 - that of F")
        weight: float = Field(1.0, ge=0, description="regularisation: weight of the penalty")
        gamma: float = Field(1.0, ge=0, le=1, description="what is left of the old F at the end of a task")
        rows: int = Field(512, ge=1, description="training rows of a task, drawn, by which F is measured")

    options: Options
    host: Host
    name = "preservation"
    reads_memory = False
    needs = ("counted", "experiment")

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """An objective without labels; agents of one model that would measure F apart."""
        yield from label_problems(use, "preservation", "F is that of p(label | row)")
        if use.mine.learning.one_model:
            yield Problem(
                use.key,
                "should not be there with learning.one_model = true: each agent would keep what its own rows"
                ' find important, and their models would differ. Found kind = "preservation"',
            )

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """It never acts."""
        yield from silent_notes(use, "preservation")

    def __init__(self, options: Options, host: Host) -> None:
        super().__init__(options, host)
        parameters = host.parameters
        self._weights = parameters.data[: len(parameters.grad)]
        self._layers = [slice(s.start, s.stop) for s in parameters.segments if s.kind != "frozen"]
        self._past: Past | None = None
        self._pull = torch.zeros(0)  # 2 weight mask F (1 + s)
        self._away = torch.zeros_like(self._weights)

    def penalty(self) -> float:
        """Its value now; 0 as long as it is silent, or where nothing is added to the loss."""
        if self._past is None or self.options.transfer != "regularisation":
            return 0.0
        away = self._weights.double() - self._past.weights.double()
        return float((0.5 * self._pull.double() * away.square()).sum())

    def on_gradient(self, grad: Tensor, batch: Batch) -> None:
        if self._past is None or self.options.transfer != "regularisation":
            return
        torch.sub(self._weights, self._past.weights, out=self._away)
        grad.addcmul_(self._pull, self._away)

    def after_task(self, task: int) -> None:
        if task != self.host.current[-1]:
            return  # of joint tasks, which end together, once
        fisher = self._measured(task)
        if self._past is not None:
            self._hand_over(self._past, fisher)
            fisher = fisher.add_(self._past.fisher, alpha=self.options.gamma)
        weights = self._weights.clone()
        values, known = (part.cpu().numpy() for part in (weights, fisher))
        scores = importance(self.options.score, values, known, self.options.mix, self._layers)
        mask = np.zeros(len(values), dtype=np.float32)
        mask[top(scores, self.options.share, self._layers)] = 1
        self._keep(Past(weights, fisher, writable(mask).to(weights)))

    def _measured(self, task: int) -> Tensor:
        """F [p] of rows of the tasks in training, drawn without replacement."""
        host, rows = self.host, Prepared.joined([self.host.tasks.training(u) for u in self.host.current])
        rng = numpy_generator(host.seed, host.agent, "preservation", task)
        count = min(len(rows), self.options.rows)
        chosen = np.sort(rng.permutation(len(rows))[:count])
        with host.counted(("preservation", task, count)):
            return label_fisher(host.model, rows.take(torch.from_numpy(chosen).to(rows.y.device)))

    def _hand_over(self, past: Past, fisher: Tensor) -> None:
        """What the past has kept comes into the weights."""
        if self.options.transfer == "injection":
            self._weights.copy_(torch.where(past.mask > 0, past.weights, self._weights))
        elif self.options.transfer == "merge":
            old = past.mask * past.fisher
            share = old / (old + fisher + EPS)
            self._weights.lerp_(past.weights, share)

    def _keep(self, past: Past) -> None:
        self._past = past
        factor = torch.ones_like(past.mask)
        model = self.host.model
        for span, special in zip(model.module_spans, model.specialised, strict=True):
            factor[span] += special
        self._pull = 2 * self.options.weight * past.mask * past.fisher * factor

    def replaced(self, places: slice | Tensor) -> None:
        if self._past is not None:
            self._past.weights[places] = self._weights[places]
            for known in (self._past.fisher, self._past.mask, self._pull):
                known[places] = 0

    def state(self) -> State:
        if self._past is None:
            return {}
        parts = {**self._past._asdict(), "pull": self._pull}
        return {name: part.cpu().numpy().copy() for name, part in parts.items()}

    def load(self, state: State) -> None:
        self._past = None
        if state:
            found = {
                name: writable(state[name]).to(self._weights, copy=True) for name in (*Past._fields, "pull")
            }
            self._pull = found.pop("pull")
            self._past = Past(**found)
