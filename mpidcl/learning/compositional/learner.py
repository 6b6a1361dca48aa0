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
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mpidcl.base.shape import Shape
from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.compositional.candidates import (
    Candidates,
    gains_enough,
    room_for,
)
from mpidcl.learning.compositional.decisions import DECISIONS, STRUCTURES, ModuleDecision
from mpidcl.learning.compositional.epochs import ModularEpochs
from mpidcl.learning.compositional.modular import AddedModule, ForeignModule
from mpidcl.learning.compositional.options import CompositionalOptions
from mpidcl.learning.compositional.orders import random_orders
from mpidcl.learning.compositional.trials import Trials
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.model_learner import Floats
from mpidcl.learning.seen import prepare_rows
from mpidcl.model.base import Model
from mpidcl.model.build import build_model
from mpidcl.model.compositional.base import Compositional
from mpidcl.model.flat import writable
from mpidcl.network.requests import Asking
from mpidcl.randomness import numpy_generator
from mpidcl.record.tables import Table, Tables, from_columns, to_columns

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class CompositionalLearner(GradientLearner):
    """Learns tasks in order with a growing set of modules.

    Terms of the loss act in the initial tasks and in accommodation. Which of the two, with a candidate or
    without, stands for the current task while it is learned: the better one on its validation rows.
    """

    class Options(CompositionalOptions):
        """How modules are added."""

    trains_one_model = draws_from_all = follows_schedule = mixes_precision = False
    looks_ahead = False  # a task that has not begun has no structure yet
    inserts = ("task end",)
    model: Compositional
    epochs: ModularEpochs

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """Candidates without validation rows that decide about them."""
        yield from super().problems(use)
        stream, candidates = use.mine.stream, use.options.candidates
        key = kinds.resolve("stream", stream.kind).planned(stream.options).unvalidated
        if candidates and key is not None:
            yield Problem(
                ("stream", key),
                f"should be above 0 with learning.candidates = {candidates}: validation rows decide whether a"
                " candidate module stays. Found 0. Without growth: learning.candidates = 0",
            )

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """A task that only accommodates."""
        yield from use.options.notes(use.mine.learning.epochs)

    def __init__(self, experiment: Experiment, agent: int, shape: Shape) -> None:
        self.options: CompositionalOptions = experiment.learning.options
        super().__init__(experiment, agent, shape)
        self._require_classes('learning.kind = "compositional"')
        self.decisions: list[ModuleDecision] = []
        self.candidates = Candidates(self.model, self.optimizer, numpy_generator(self.seed, agent, "modules"))
        self._trials = Trials(self)
        self._draw_orders()

    @classmethod
    def modules_of(cls, experiment: Experiment, shape: Shape) -> int:
        return room_for(experiment, shape.heads - max(1, shape.joint_tasks))

    def build_model(self) -> Model:
        room = self.modules_of(self.experiment, self.shape)
        model = build_model(self.experiment, self._draws_as, self.shape, self.device, room)
        if isinstance(model, Compositional):
            return model
        raise ExperimentError(
            'model.kind should be a compositional one with learning.kind = "compositional", such as '
            f'"compositional-mlp" or "compositional-cnn". Found "{self.experiment.model.kind}".'
        )

    def make_epochs(self) -> ModularEpochs:
        return ModularEpochs(self)

    def _draw_orders(self) -> None:
        count = min(self.epochs.initial, self.shape.heads)
        rng = numpy_generator(self.seed, self._draws_as, "orders")
        for task, order in enumerate(random_orders(rng, count, self.model.depth)):
            self.model.set_order(task, order)

    # --- the life of a task ---------------------------------------------------------------------

    def begin_task(self, task: Any) -> None:
        super().begin_task(task)
        if self.epochs.is_initial:
            return
        self.model.open_task(task.index)
        kept, most = self.model.kept, self.options.max_modules
        room = self.model.places - kept if most is None or kept < most else 0  # only one of them stays
        self.candidates.open(task.index, min(self.options.candidates, room))

    def end_task(self) -> Asking[None]:
        if not self.epochs.is_initial:
            self._decide()
            self.model.learning, self.epochs.accommodating = "all", False
        yield from super().end_task()

    def _decide(self) -> None:
        """Keep the best candidate if it gains enough, drop the others."""
        task = self.task
        without = self.validation_accuracy(None)
        found = [self.validation_accuracy(place) for place in self.candidates.places]
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

    def validation_accuracy(self, place: int | None) -> float:
        """Accuracy on the validation rows of the current task, with the candidate at `place` or with none."""
        x, y = self.validation(self.task)
        with self.candidates.shown(place):
            answers = self.logits(x, self.task).argmax(1)
        return float((answers == y).mean()) if len(y) else 0.0

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
        self._trials.take(modules)

    def logits_with(self, module: ForeignModule, x: Floats) -> Floats:
        """Logits [n, classes] of rows under a neighbour's module, head and structure in one's own basis.

        With a structure, modules that one added oneself are left out: the neighbour has none of them.
        """
        return self._trials.logits_with(module, x)

    def try_out(self, modules: Sequence[ForeignModule], epochs: int, together: int) -> list[float]:
        """Validation accuracy of each module after `epochs` epochs of a trial, of which nothing remains.

        Up to `together` modules take turns in one trial, fewer when there is no room for so many.
        """
        return self._trials.try_out(modules, epochs, together)

    def prepared(self, x: Floats) -> Floats:
        """Rows [n, ...] of x [n, *input] after the frozen input stage."""
        return _copied(prepare_rows(self.model, x, self.device))

    def logits_of_prepared(self, z: Floats, u: int) -> Floats:
        """Logits [n, classes] of prepared rows z through modules and head of task u, in eval mode."""
        return self.answers(writable(z).to(self.device), u)

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
        modular = {"modular": self.epochs.modular_state(), "known": self.epochs.known.state()}
        return super().state() | modular

    def load(self, state: State, task_of: Callable[[int], Any] | None = None) -> None:
        super().load(state, task_of)
        self.epochs.load_modular_state(state["modular"])
        self.epochs.known.load(state["known"])


def _copied(values: torch.Tensor) -> Floats:
    found: Floats = values.cpu().numpy().copy()
    return found
