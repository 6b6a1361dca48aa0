"""Neighbours' modules on trial: taken as candidates, or tried out without leaving a trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from mpidcl.learning.compositional.modular import ForeignModule
from mpidcl.learning.model_learner import Floats
from mpidcl.model.flat import writable

if TYPE_CHECKING:
    from mpidcl.learning.compositional.learner import CompositionalLearner


class Trials:
    """What a compositional learner does with received modules."""

    def __init__(self, learner: CompositionalLearner) -> None:
        self._learner = learner

    def take(self, modules: Sequence[ForeignModule]) -> None:
        """Let modules be the current task's candidates, the best first, as far as there is room."""
        candidates = self._learner.candidates
        for place, module in zip(candidates.places, modules, strict=False):
            candidates.fill(place, module.weights, module.origin)
        if modules and len(candidates):
            self._adopt(modules[0], candidates.places[0])

    def _adopt(self, module: ForeignModule, place: int) -> None:
        """Start head and structure of the current task from a neighbour's, forgetting what they were."""
        learner, epochs = self._learner, self._learner.epochs
        task, model, head = learner.task, learner.model, learner.seen[learner.task].head
        begun = np.zeros(len(learner.optimizer.steps), dtype=np.bool_)
        with torch.no_grad():
            if module.head is not None:
                model.heads.block[head].copy_(writable(module.head))
                begun[epochs.head_segments[head]] = True
            if module.structure is not None:
                rows = writable(module.structure)
                model.structures[task].zero_()
                model.structures[task, : model.depth].copy_(rows[: model.depth])
                model.structures[task, place].copy_(rows[model.depth])
                begun[epochs.structure_segments[task]] = True
        learner.optimizer.reset(begun)

    def logits_with(self, module: ForeignModule, x: Floats) -> Floats:
        """Logits [n, classes] of rows x under a module, its head and its structure, in one's own basis."""
        learner = self._learner
        if not len(learner.candidates):
            return learner.logits(x, learner.task)
        with self._unchanged():
            self.take([module])
            if module.structure is not None:
                learner.model.seen[learner.task] = learner.model.depth
            with learner.candidates.shown(learner.candidates.places[0]):
                return learner.logits(x, learner.task)

    def try_out(self, modules: Sequence[ForeignModule], epochs: int, together: int) -> list[float]:
        """Validation accuracy of each module after a trial of so many epochs; up to `together` take turns."""
        found: list[float] = []
        free = self._learner.model.places - self._learner.model.kept
        size = max(1, min(together, free))
        for first in range(0, len(modules) if free else 0, size):
            found += self._trial(modules[first : first + size], epochs)
        return found or [0.0] * len(modules)

    def _trial(self, modules: Sequence[ForeignModule], epochs: int) -> list[float]:
        learner = self._learner
        with self._unchanged():
            learner.candidates.open(learner.task, len(modules))
            self.take(modules)
            learner.epochs.enter(accommodating=False)
            for _ in range(epochs):
                for _ in learner.one_pass():
                    raise RuntimeError("A trial should ask the others nothing.")
            return [learner.validation_accuracy(place) for place in learner.candidates.places]

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Inside, anything may happen to model, optimiser and generators; afterwards it has not."""
        learner = self._learner
        parameters, optimizer = learner.parameters.state(), learner.optimizer.state()
        chances, modular = learner.chances(), learner.epochs.modular_state()
        try:
            yield
        finally:
            learner.parameters.load(parameters)
            learner.optimizer.load(optimizer)
            learner.load_chances(chances)
            learner.epochs.load_modular_state(modular)
