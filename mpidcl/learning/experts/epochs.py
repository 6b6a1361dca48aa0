"""What learns in a step of a model of experts: those that were chosen and are not frozen."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.learning.gradient.epochs import Epochs, Mask

if TYPE_CHECKING:
    from mpidcl.learning.experts.learner import ExpertsLearner


class ExpertEpochs(Epochs):
    """Epochs of the plain learner; experts that no row of a step chose take no step, nor do frozen ones."""

    _learner: ExpertsLearner

    def __init__(self, learner: ExpertsLearner) -> None:
        super().__init__(learner)
        trainable = [s for s in learner.parameters.segments if s.kind != "frozen"]
        spans = learner.model.module_spans
        owners = [
            next((i for i, span in enumerate(spans) if span.start <= s.start < span.stop), -1)
            for s in trainable
        ]
        self._segments = np.flatnonzero(np.array(owners) >= 0)
        self._owners = np.array(owners, dtype=np.int64)[self._segments]

    def active(self, present: Mask) -> Mask:
        found, model = super().active(present), self._learner.model
        found[self._segments] = (model.took_part & ~model.frozen)[self._owners]
        model.begin_step()
        return found

    def mark(self) -> Hashable:
        return self._learner.model.active

    @contextmanager
    def counted(self, key: Hashable, unseen: int = 0) -> Iterator[None]:
        meter, model = self._learner.meter, self._learner.model
        before = model.unseen_flops
        with meter.work(key, unseen) if model.even_cost else meter.each_time(unseen):
            yield
        meter.add(model.unseen_flops - before)
