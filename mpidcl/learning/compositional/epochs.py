"""What the epochs of a task consist of while a model grows: assimilation, accommodation, and their steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.base.state import State
from mpidcl.learning.batches import Batch
from mpidcl.learning.compositional.known import KnownScores, mark_of
from mpidcl.learning.gradient.epochs import Epochs, Group, Mask
from mpidcl.learning.terms.base import Answering, Term

if TYPE_CHECKING:
    from mpidcl.learning.compositional.learner import CompositionalLearner


class ModularEpochs(Epochs):
    """The epochs of a compositional learner: those of the initial tasks are plain ones.

    `initial`: how many tasks are learned together first; `accommodating`: whether modules learn now.
    """

    _learner: CompositionalLearner

    def __init__(self, learner: CompositionalLearner) -> None:
        super().__init__(learner)
        self.initial = max(1, learner.shape.joint_tasks)
        self.accommodating = False
        self.known = KnownScores()
        kinds = [s.kind for s in learner.parameters.segments if s.kind != "frozen"]
        self.module_segments = np.flatnonzero([kind in ("shared", "modules") for kind in kinds])
        self.structure_segments = np.flatnonzero([kind == "structures" for kind in kinds])
        self.head_segments = self._heads
        self._active_segments = np.zeros(len(kinds), dtype=np.bool_)

    @property
    def is_initial(self) -> bool:
        """Whether the task in training is one of the initial ones."""
        return self._learner.task < self.initial

    @property
    def _plain(self) -> bool:
        return self.is_initial or self.accommodating

    def enter(self, accommodating: bool) -> None:
        """Choose what the coming epoch learns."""
        if accommodating != self.accommodating:
            self._made = None
        self.accommodating = accommodating
        frozen = self._learner.options.candidate == "frozen"
        self._learner.model.learning = "all" if accommodating else "none" if frozen else "candidate"

    def passes(self, tick: int) -> Iterator[None]:
        """One pass; in accommodation one for each candidate, each of them visible in its turn."""
        learner = self._learner
        if not self.is_initial:
            every = learner.options.accommodate or learner.experiment.learning.epochs
            self.enter(accommodating=(tick + 1) % every == 0)
        if self.is_initial or not self.accommodating:
            yield
            return
        for _ in range(max(1, len(learner.candidates))):
            yield
            learner.candidates.next()

    def groups(self) -> list[Group]:
        """In assimilation the task's own rows and those received for it; else all rows."""
        if self._plain:
            return super().groups()
        learner = self._learner
        received = learner.prepared_rows(learner.received.of_task(learner.task))
        own = learner.tasks.training(learner.task)
        return [((learner.task,), [own, *([received] if len(received) else [])])]

    def steps(self, batch: Batch) -> Iterator[Batch]:
        """One step with the active candidate visible, one with it hidden; then the next candidate's turn."""
        # The two steps of a batch draw their own rows of a separate replay, and use heads of their own.
        yield replace(batch, present=batch.present.copy())
        candidates = self._learner.candidates
        if self.is_initial or not len(candidates):
            return
        with candidates.hidden():
            yield replace(batch, present=batch.present.copy())
        if not self.accommodating:
            candidates.next()

    def terms(self) -> Sequence[Term]:
        """None in assimilation."""
        return self._learner.terms if self._plain else ()

    def active(self, present: Mask) -> Mask:
        """Modules, heads and structures that the phase lets learn and the rows use."""
        active, tasks, model = self._active_segments, np.flatnonzero(present), self._learner.model
        active[:] = False
        if model.learning == "all":
            for task in tasks.tolist():
                active[self.module_segments[model.used(task)]] = True
        elif model.learning == "candidate" and model.active is not None:
            active[self.module_segments[model.active]] = True
        if not self.accommodating:
            active[self.head_segments[tasks]] = True
            if not self.is_initial:
                active[self.structure_segments[tasks]] = True
        return active

    @contextmanager
    def work(self, batch: Batch) -> Iterator[None]:
        """Operations are counted by formula: hardly any two batches cost the same."""
        yield
        learner = self._learner
        drawn = [rows.heads for draws in batch.drawn.values() for rows in draws]
        for heads in [batch.heads, *drawn]:
            rows = np.bincount(heads.cpu().numpy(), minlength=learner.shape.heads)
            for task in np.flatnonzero(rows).tolist():
                learner.meter.add(learner.model.flops(task, int(rows[task]), training=True))
            learner.meter.add(learner.model.heads.flops(len(heads), training=True))

    # --- evaluation -------------------------------------------------------------------------------

    def standing(self) -> AbstractContextManager[None]:
        """The current task is answered for with the candidate that is best on validation rows, or none."""
        learner = self._learner
        if not len(learner.candidates):
            return nullcontext()
        places = (None, *learner.candidates.places)  # without a candidate if that is as good
        found = [(learner.validation_accuracy(place), place) for place in places]
        return learner.candidates.shown(max(found, key=lambda one: one[0])[1])

    def answering(self) -> Answering | None:
        """The heads: what is known of a task is that of its own structure."""
        return None

    def scores(self, u: int, measure: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        """What has not changed since the last time is not measured."""
        return self.known.get(u, mark_of(self._learner.model, u), measure)

    def test_work(self, u: int, rows: int, answered: bool) -> AbstractContextManager[None]:
        model = self._learner.model
        work = model.flops(u, rows, training=False) + model.heads.flops(rows, training=False)
        self._learner.meter.add(work)
        return nullcontext()

    # --- checkpoint -------------------------------------------------------------------------------

    def modular_state(self) -> State:
        """Everything about modules and candidates that changes while a task is learned."""
        learner = self._learner
        return {
            "model": learner.model.module_state(),
            "candidates": learner.candidates.state(),
            "learning": learner.model.learning,
            "accommodating": int(self.accommodating),
        }

    def load_modular_state(self, state: State) -> None:
        """Put back what `modular_state` returned."""
        learner = self._learner
        learner.model.load_module_state(state["model"])
        learner.candidates.load(state["candidates"])
        learner.model.learning = str(state["learning"])
        self.accommodating = bool(state["accommodating"])
        self._made = None
