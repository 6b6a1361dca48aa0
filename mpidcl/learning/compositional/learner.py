"""The compositional learner: old modules frozen, candidates tried, the useful ones kept (DCL).

    the initial tasks are learned together, each by basis modules in a fixed random order
    then, for each task, while modules and old structures are frozen:
        assimilation, all epochs but the last: for each batch of the task (and rows received for it)
            one step on (structure, head, active candidate) with the candidate visible
            one step on (structure, head) with the candidate hidden; then the next candidate's turn
        accommodation, the last epoch: modules learn, structures and heads do not; for each candidate once
            through current, remembered and received rows, two steps per batch (visible, hidden)
        the best candidate stays if accuracy on validation rows gains more than 5 % of itself by it

"Distributed Continual Learning" (arXiv 2405.17466) and its public code, after Mendez and Eaton 2021
(arXiv 2007.07732).
A hidden candidate has weight exactly 0 and the others share its weight: what is measured without the
candidate is what stays when it is dropped. (The public code leaves its share of the softmax unused.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from mpidcl.base.shape import Shape
from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment.part import Use
from mpidcl.learning.batches import Batch, Pool, Prepared
from mpidcl.learning.compositional.candidates import (
    Candidates,
    gains_enough,
    require_validation,
    room_for,
)
from mpidcl.learning.compositional.decisions import DECISIONS, STRUCTURES, ModuleDecision
from mpidcl.learning.compositional.known import KnownAccuracies, mark_of
from mpidcl.learning.compositional.modular import AddedModule, ForeignModule
from mpidcl.learning.compositional.options import CompositionalOptions
from mpidcl.learning.compositional.orders import random_orders
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.model_learner import Floats
from mpidcl.learning.seen import prepare_rows
from mpidcl.learning.terms.base import Term
from mpidcl.model.base import Model
from mpidcl.model.build import build_model, repeatable
from mpidcl.model.compositional.base import Compositional
from mpidcl.model.flat import writable
from mpidcl.network.requests import Asking
from mpidcl.randomness import numpy_generator
from mpidcl.record.columns import from_columns, to_columns
from mpidcl.record.tables import Table, Tables

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class CompositionalLearner(GradientLearner):
    """Learns tasks in order with a growing set of modules.

    Terms of the loss act in the initial tasks and in accommodation. Which of the two, with a candidate or
    without, stands for the current task while it is learned: the better one on its validation rows.
    """

    class Options(CompositionalOptions):
        """How modules are added."""

    model: Compositional

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """A task that only accommodates."""
        yield from use.options.notes(use.mine.learning.epochs)

    def __init__(self, experiment: Experiment, agent: int, shape: Shape) -> None:
        self.initial = max(1, shape.joint_tasks)
        self.options: CompositionalOptions = experiment.learning.options
        require_validation(self.options.candidates, experiment.stream.options)
        super().__init__(experiment, agent, shape)
        self.decisions: list[ModuleDecision] = []
        self.candidates = Candidates(self.model, self.optimizer, numpy_generator(self.seed, agent, "modules"))
        self._accommodating = False
        self._known = KnownAccuracies()
        kinds = [s.kind for s in self.parameters.segments if s.kind != "frozen"]
        self._module_segments = np.flatnonzero([kind in ("shared", "modules") for kind in kinds])
        self._structure_segments = np.flatnonzero([kind == "structures" for kind in kinds])
        self._active_segments = np.zeros(len(kinds), dtype=np.bool_)
        self._draw_orders()

    @classmethod
    def modules_of(cls, experiment: Experiment, shape: Shape) -> int:
        return room_for(experiment, shape.heads - max(1, shape.joint_tasks))

    def _build_model(self) -> Model:
        room = room_for(self.experiment, self.shape.heads - self.initial)
        model = build_model(self.experiment, self._draws_as, self.shape, self.device, room)
        if isinstance(model, Compositional):
            return model
        raise ExperimentError(
            'model.kind should be a compositional one with learning.kind = "compositional", such as '
            f'"compositional-mlp" or "compositional-cnn". Found "{self.experiment.model.kind}".'
        )

    def _draw_orders(self) -> None:
        rng, count = numpy_generator(self.seed, self._draws_as, "orders"), min(self.initial, self.shape.heads)
        for task, order in enumerate(random_orders(rng, count, self.model.depth)):
            self.model.set_order(task, order)

    # --- the life of a task ---------------------------------------------------------------------

    @property
    def _is_initial(self) -> bool:
        return self.task < self.initial

    def begin_task(self, task: Any) -> None:
        super().begin_task(task)
        if self._is_initial:
            return
        self.model.open_task(task.index)
        kept, most = self.model.kept, self.options.max_modules
        room = self.model.places - kept if most is None or kept < most else 0  # only one of them stays
        self.candidates.open(task.index, min(self.options.candidates, room))

    def learn(self, task_index: int, tick: int) -> Asking[None]:
        if not self._is_initial:
            every = self.options.accommodate or self.experiment.learning.epochs
            self._enter(accommodating=(tick + 1) % every == 0)
        if self._is_initial or not self._accommodating:
            yield from super().learn(task_index, tick)
            return
        for _ in range(max(1, len(self.candidates))):
            yield from super().learn(task_index, tick)
            self.candidates.next()

    def _enter(self, accommodating: bool) -> None:
        """Choose what the coming epoch learns."""
        if accommodating != self._accommodating:
            self._pools = None
        self._accommodating = accommodating
        frozen = self.options.candidate == "frozen"
        self.model.learning = "all" if accommodating else "none" if frozen else "candidate"

    def _make_pools(self) -> list[Pool]:
        if self._is_initial or self._accommodating:
            return super()._make_pools()
        received = self._prepared(self.received.of_task(self.task))
        parts = [self.tasks.training(self.task), *([received] if len(received) else [])]
        return [Pool(Prepared.joined(parts), self.shape.heads)]

    def _measured_step(self, batch: Batch) -> None:
        self._counted_step(batch)
        if self._is_initial or not len(self.candidates):
            return
        with self.candidates.hidden():
            self._counted_step(batch)
        if not self._accommodating:
            self.candidates.next()

    def _counted_step(self, batch: Batch) -> None:
        """One step, its operations counted by formula: hardly any two batches cost the same."""
        # The two steps of a batch draw their own rows of a separate replay, and use heads of their own.
        with repeatable(self.device):
            self._step(replace(batch, present=batch.present.copy()))
        drawn = [term.drawn for term in self._acting_terms()]
        for heads in [batch.heads, *(found for found in drawn if found is not None)]:
            rows = np.bincount(heads.cpu().numpy(), minlength=self.shape.heads)
            for task in np.flatnonzero(rows).tolist():
                self._meter.add(self.model.flops(task, int(rows[task]), training=True))
            self._meter.add(self.model.heads.flops(len(heads), training=True))

    def _test_work(self, u: int, rows: int) -> AbstractContextManager[None]:
        work = self.model.flops(u, rows, training=False) + self.model.heads.flops(rows, training=False)
        self._meter.add(work)
        return nullcontext()

    def _acting_terms(self) -> list[Term]:
        return self.terms if self._is_initial or self._accommodating else []

    def _active(self, batch: Batch) -> npt.NDArray[np.bool_]:
        """Modules, heads and structures that the phase lets learn and the batch uses."""
        active, tasks = self._active_segments, np.flatnonzero(batch.present)
        active[:] = False
        if self.model.learning == "all":
            for task in tasks.tolist():
                active[self._module_segments[self.model.used(task)]] = True
        elif self.model.learning == "candidate" and self.model.active is not None:
            active[self._module_segments[self.model.active]] = True
        if self._is_initial or not self._accommodating:
            active[self._heads[tasks]] = True
        if not self._is_initial and not self._accommodating:
            active[self._structure_segments[tasks]] = True
        return active

    def end_task(self) -> Asking[None]:
        if not self._is_initial:
            self._decide()
            self.model.learning, self._accommodating = "all", False
        yield from super().end_task()

    def _decide(self) -> None:
        """Keep the best candidate if it gains enough, drop the others."""
        task = self.task
        without = self._validation_accuracy(None)
        found = [self._validation_accuracy(place) for place in self.candidates.places]
        best = int(np.argmax(found)) if found else -1
        rows = len(self.seen[task].validation)
        keep = best >= 0 and gains_enough(found[best], without, rows, self.options.threshold)
        origins = list(self.candidates.origins)
        module = self.candidates.close(best if keep else None)
        for number, (accuracy, origin) in enumerate(zip(found, origins, strict=True)):
            kept = module if keep and number == best else -1
            whence = (origin.source, origin.task, origin.module, origin.similarity)
            made = ModuleDecision(task, number, kept, accuracy, without, *whence, self.model.kept)
            self.decisions.append(made)

    def _validation_accuracy(self, place: int | None) -> float:
        """Accuracy on the validation rows of the current task, with the candidate at `place` or with none."""
        x, y = self.validation(self.task)
        with self.candidates.shown(place):
            answers = self.logits(x, self.task).argmax(1)
        return float((answers == y).mean()) if len(y) else 0.0

    def _accuracies(self, upto: int) -> npt.NDArray[np.float64]:
        """Accuracy [upto + 1] on test rows; what has not changed since the last time is not measured."""
        if not len(self.candidates):
            return super()._accuracies(upto)
        accuracies = [(self._validation_accuracy(place), place) for place in (None, *self.candidates.places)]
        best = max(accuracies, key=lambda found: found[0])[1]  # without a candidate if that is as good
        with self.candidates.shown(best):
            return super()._accuracies(upto)

    def _accuracy(self, u: int) -> float:
        return self._known.get(u, mark_of(self.model, u), lambda: GradientLearner._accuracy(self, u))

    # --- modules that others may have, and theirs -----------------------------------------------

    @classmethod
    def candidates_of(cls, options: CompositionalOptions) -> int:
        """Candidates per task, at most."""
        return options.candidates

    def module_facts(self) -> dict[str, Any]:
        """What neighbours compare before they give each other modules: shapes, and the input stage."""
        head = list(self.model.heads.block.shape[1:])
        return {**self.model.facts(), "head": head, "input": self._input_mark()}

    def _input_mark(self) -> str:
        frozen = self.parameters.data[self.parameters.span("frozen")].cpu().numpy()
        return f"{list(self.shape.input_shape)} {sha256(frozen.tobytes()).hexdigest()[:16]}"

    def added(self) -> list[AddedModule]:
        """The tasks that kept a module, in order, and the numbers of these modules."""
        return [AddedModule(made.task, made.module) for made in self.decisions if made.kept]

    def module(self, number: int) -> Floats:
        """Copy [module floats] of a module."""
        return _copied(self.model.module(number).flatten())

    def head_of(self, u: int) -> Floats:
        """Copy [classes, width + 1] of the head of task u, its last column the bias."""
        return _copied(self.model.heads.block.detach()[self.seen[u].head])

    def structure_of(self, u: int) -> Floats:
        """Logits [modules, depth] of the structure of task u, -inf where it does not look."""
        return _copied(self.model.logits_of(u))

    def take_candidates(self, modules: Sequence[ForeignModule]) -> None:
        """Let received modules be the current task's candidates, the best first, as far as there is room.

        The head and the structure of the first are taken over where they are given.
        """
        for place, module in zip(self.candidates.places, modules, strict=False):
            self.candidates.fill(place, module.weights, module.origin)
        if modules and len(self.candidates):
            self._adopt(modules[0], self.candidates.places[0])

    def _adopt(self, module: ForeignModule, place: int) -> None:
        """Start head and structure of the current task from a neighbour's, forgetting what they were."""
        task, model = self.task, self.model
        begun = np.zeros(len(self.optimizer.steps), dtype=np.bool_)
        with torch.no_grad():
            if module.head is not None:
                model.heads.block[self.seen[task].head].copy_(writable(module.head))
                begun[self._heads[self.seen[task].head]] = True
            if module.structure is not None:
                rows = writable(module.structure)
                model.structures[task].zero_()
                model.structures[task, : model.depth].copy_(rows[: model.depth])
                model.structures[task, place].copy_(rows[model.depth])
                begun[self._structure_segments[task]] = True
        self.optimizer.reset(begun)

    def logits_with(self, module: ForeignModule, x: Floats) -> Floats:
        """Logits [n, classes] of rows under a neighbour's module, head and structure in one's own basis.

        With a structure, modules that one added oneself are left out: the neighbour has none of them.
        """
        if not len(self.candidates):
            return self.logits(x, self.task)
        with self._unchanged():
            self.take_candidates([module])
            if module.structure is not None:
                self.model.seen[self.task] = self.model.depth
            with self.candidates.shown(self.candidates.places[0]):
                return self.logits(x, self.task)

    def try_out(self, modules: Sequence[ForeignModule], epochs: int, together: int) -> list[float]:
        """Validation accuracy of each module after `epochs` epochs of a trial, of which nothing remains.

        Up to `together` modules take turns in one trial, fewer when there is no room for so many.
        """
        found: list[float] = []
        free = self.model.places - self.model.kept
        size = max(1, min(together, free))
        for first in range(0, len(modules) if free else 0, size):
            found += self._trial(modules[first : first + size], epochs)
        return found or [0.0] * len(modules)

    def _trial(self, modules: Sequence[ForeignModule], epochs: int) -> list[float]:
        with self._unchanged():
            self.candidates.open(self.task, len(modules))
            self.take_candidates(modules)
            self._enter(accommodating=False)
            for _ in range(epochs):
                for _ in GradientLearner.learn(self, self.task, 0):
                    raise RuntimeError("A trial should ask the others nothing.")
            return [self._validation_accuracy(place) for place in self.candidates.places]

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Inside, anything may happen to model, optimiser and generators; afterwards it has not."""
        saved = (self.parameters.state(), self.optimizer.state(), self._chances(), self._modular_state())
        try:
            yield
        finally:
            self.parameters.load(saved[0])
            self.optimizer.load(saved[1])
            self._load_chances(saved[2])
            self._load_modular_state(saved[3])

    def prepared(self, x: Floats) -> Floats:
        """Rows [n, ...] of x [n, *input] after the frozen input stage."""
        return _copied(prepare_rows(self.model, x, self.device))

    def logits_of_prepared(self, z: Floats, u: int) -> Floats:
        """Logits [n, classes] of prepared rows z through modules and head of task u, in eval mode."""
        return self._answers(writable(z).to(self.device), u)

    def encoder_of(self, u: int) -> int:
        """Each task has an encoder of its own: its structure."""
        return u

    # --- record and checkpoint ------------------------------------------------------------------

    def tables(self) -> Tables:
        """`modules`: what became of every candidate; `structures`: the shares of modules, by task."""
        shares = {"share": self.model.shares(len(self.seen))}
        return {DECISIONS: to_columns(ModuleDecision, self.decisions), STRUCTURES: shares} | super().tables()

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        super().load_tables(tables)
        self.decisions = from_columns(ModuleDecision, tables[DECISIONS])

    def digest(self) -> str:
        state = self.model.module_state()
        own = b"".join(np.asarray(state[name], dtype=np.int64).tobytes() for name in ("kept", "seen"))
        return sha256(super().digest().encode() + own).hexdigest()

    def state(self) -> State:
        return super().state() | {"modular": self._modular_state(), "known": self._known.state()}

    def load(self, state: State, task_of: Callable[[int], Any] | None = None) -> None:
        super().load(state, task_of)
        self._load_modular_state(state["modular"])
        self._known.load(state["known"])

    def _modular_state(self) -> State:
        return {
            "model": self.model.module_state(),
            "candidates": self.candidates.state(),
            "learning": self.model.learning,
            "accommodating": int(self._accommodating),
        }

    def _load_modular_state(self, state: State) -> None:
        self.model.load_module_state(state["model"])
        self.candidates.load(state["candidates"])
        self.model.learning = str(state["learning"])
        self._accommodating = bool(state["accommodating"])
        self._pools = None


def _copied(values: torch.Tensor) -> Floats:
    found: Floats = values.cpu().numpy().copy()
    return found
