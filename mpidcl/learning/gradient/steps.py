"""One pass over the rows of an epoch: draw, make the gradient, step, insert."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.gradient.by_hand import ByHand, can, knows_slopes
from mpidcl.learning.gradient.one_pass import OnePass
from mpidcl.learning.terms.base import Term, scalar
from mpidcl.model.build import repeatable
from mpidcl.network.requests import Asking

if TYPE_CHECKING:
    from mpidcl.learning.gradient.learner import GradientLearner


class Steps:
    """The steps of a learner, whose parts it brings together."""

    def __init__(self, learner: GradientLearner) -> None:
        self._learner = learner
        self.encoding = OnePass(learner)
        self._hand = ByHand(learner, self.encoding) if can(learner) else None
        self._known: dict[Term, bool] = {}
        self._has_statistics = any(isinstance(part, _BatchNorm) for part in learner.model.modules())

    def one_pass(self) -> Asking[None]:
        """One pass over the rows of an epoch."""
        learner, epochs = self._learner, self._learner.epochs
        learner.model.train()
        if learner.each_step:
            learner.rows_version += 1  # the rows of old tasks are others by now
        steps = epochs.count()
        more = yield from learner.sharing.begin_pass(steps)
        rehearsal = learner.rehearsal
        others = yield from rehearsal.begin_pass(steps + more, learner.task)
        learner.pace.begin_pass(steps + more)
        for batch in epochs.batches():
            batch.z = learner.augment(batch.z)
            for step in epochs.steps(batch):
                yield from self.step(step)
            if learner.each_step:
                rehearsal.log.turn_to("insert")
                learner.insertion.step(batch)
            rehearsal.log.turn_to("load")
        for _ in range(more):
            yield from self.step(None)
        for _ in range(others):
            yield from rehearsal.pass_over()
        rehearsal.log.end_pass()

    def step(self, batch: Batch | None) -> Asking[None]:
        """One step of the optimiser; None: this agent has no rows left, but others have."""
        learner = self._learner
        terms = learner.epochs.terms()
        if batch is None:
            yield from learner.rehearsal.pass_over()
            present = yield from learner.sharing.mean(0, np.zeros(learner.shape.heads, dtype=np.bool_))
        else:
            if learner.rehearsal.draws:
                yield from self.draw(batch, terms)
            batch.competing = _common(term.competing(batch) for term in terms)
            learner.sharing.begin_step()
            with repeatable(learner.device), learner.epochs.work(batch):
                self.make_gradient(batch)
            learner.rehearsal.log.turn_to("share")
            present = yield from learner.sharing.mean(len(batch), batch.present)
            learner.rehearsal.log.turn_to("train")
        learner.pace.step()
        learner.optimizer.step(learner.epochs.active(present))
        for term in terms:
            term.after_step()

    def draw(self, batch: Batch, terms: Sequence[Term]) -> Asking[None]:
        """Give the batch the rows that these terms draw."""
        learner = self._learner
        found = yield from learner.rehearsal.draw(terms)
        batch.drawn = {term: tuple(map(learner.augment.drawn, drawn)) for term, drawn in found.items()}
        self.encoding.begin()
        for term, drawn in batch.drawn.items():
            for draw, rows in zip(term.draws(), drawn, strict=True):
                if not draw.aside:
                    batch.present[0 if learner.shape.heads == 1 else rows.heads.cpu().numpy()] = True
                if draw.joined:
                    batch.join(rows)
                elif draw.beside and not self._has_statistics:
                    self.encoding.add(rows)
        self.encoding.ready()

    def make_gradient(self, batch: Batch) -> None:
        """The gradient of the whole loss, in the flat gradient."""
        learner = self._learner
        terms = learner.epochs.terms()
        learner.parameters.zero_grad()
        if batch.competing is None and self._by_hand(terms):
            assert self._hand is not None
            self._hand.gradient(batch, terms)
            learner.sharing.batch_has_passed()
        else:
            self._through_autograd(batch, terms)
        for term in sorted(terms, key=lambda one: one.turn):
            term.on_gradient(learner.parameters.grad, batch)

    def _through_autograd(self, batch: Batch, terms: Sequence[Term]) -> None:
        learner = self._learner
        self.encoding.encode(batch)
        learner.sharing.batch_has_passed()
        if batch.competing is None:
            loss = learner.objective.loss(learner.model, batch)
        else:
            loss = learner.objective.loss_among(learner.model, batch, batch.competing)
        for term in terms:
            added = term.loss(batch)
            if added is not None:
                loss = loss + scalar(term, added)
        loss.backward()  # type: ignore[no-untyped-call]

    def _by_hand(self, terms: Sequence[Term]) -> bool:
        """Whether the gradient needs no autograd, with these terms."""
        if self._hand is None:
            return False
        for term in terms:
            if term not in self._known:
                self._known[term] = knows_slopes(term, self._learner.shape.heads)
        return all(self._known[term] for term in terms)

    def outputs(self, rows: Prepared) -> Tensor:
        """What the model answers to rows, each through its own head [n, outputs of a head]."""
        found = self.encoding.outputs(rows)
        if found is not None:
            return found
        model = self._learner.model
        return model.logits(model.encode_rows(rows.z, rows.heads), rows.heads)


def _common(masks: Iterable[Tensor | None]) -> Tensor | None:
    """What all masks let through; None: everything."""
    found = [mask for mask in masks if mask is not None]
    return reduce(torch.logical_and, found) if found else None
