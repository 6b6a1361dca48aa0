"""A learner whose model is made of experts: it measures them, and changes which there are.

At the end of a task, in this order: specialisation is measured on the probe rows, terms have their turn
(preservation uses it), specialised experts are frozen, idle ones go. New ones come when the next task begins.
"Decentralized Modular Knowledge Distillation for Sustainable Continual Learning" (research proposal).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from mpidcl.base.shape import Shape
from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.experts.changes import Changes
from mpidcl.learning.experts.epochs import ExpertEpochs
from mpidcl.learning.experts.inventory import SPANS
from mpidcl.learning.experts.log import ExpertLog
from mpidcl.learning.experts.options import ExpertOptions
from mpidcl.learning.experts.reuse import LAYOUT, begin_with, layout
from mpidcl.learning.experts.specialisation import specialisation
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.saved import fingerprint
from mpidcl.learning.seen import prepare_rows
from mpidcl.model.base import Model
from mpidcl.model.build import build_model
from mpidcl.model.experts.base import Experts, ExpertsOptions
from mpidcl.network.requests import Asking
from mpidcl.randomness import numpy_generator
from mpidcl.record.tables import Table, Tables, joined
from mpidcl.stream.tasks import Task

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class ExpertsLearner(GradientLearner):
    """Learns tasks in order with a model of experts, of which those that a row chose learn from it."""

    class Options(ExpertOptions):
        """Which experts there are."""

    trains_one_model = mixes_precision = False
    of_experts = True
    model: Experts
    epochs: ExpertEpochs
    options: ExpertOptions

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """Experts that are decided about by rows that are not there."""
        yield from super().problems(use)
        options, stream, model = use.options, use.mine.stream, use.mine.model.options
        key = kinds.resolve("stream", stream.kind).planned(stream.options).unvalidated
        asked = {"freeze_above": options.freeze_above, "retire_below": options.retire_below}
        deciding = [f"learning.{name}" for name, value in asked.items() if value is not None]
        if options.inherit == "similar":
            deciding.append('learning.inherit = "similar"')
        if isinstance(model, ExpertsOptions) and model.routing == "guided":
            deciding.append('model.routing = "guided"')
        if deciding and key is not None:
            yield Problem(
                ("stream", key),
                f"should be above 0 with {deciding[0]}: specialisation and load are measured on validation"
                " rows. Found 0",
            )
        if isinstance(model, ExpertsOptions) and options.first is not None and options.first > model.experts:
            yield Problem(
                ("learning", "first"),
                f"should be at most model.experts = {model.experts}. Found {options.first}",
            )

    @classmethod
    def files(cls, use: Use) -> dict[str, str]:
        run = use.options.start_from
        return {} if run is None else {"learning.start_from": fingerprint(Path(run))}

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Nothing is measured, or nothing can come."""
        yield from super().notes(use)
        stream, options = use.mine.stream, use.options
        if kinds.resolve("stream", stream.kind).planned(stream.options).unvalidated is not None:
            yield "note: without validation rows the specialisation of experts is not measured."
        if options.grow and options.first is None and options.retire_below is None:
            yield (
                "note: learning.grow has no free slot, because all experts are in use: set learning.first"
                " below model.experts."
            )

    def __init__(self, experiment: Experiment, agent: int, shape: Shape) -> None:
        self.options = experiment.learning.options
        super().__init__(experiment, agent, shape)
        self._require_classes('learning.kind = "experts"')
        self.log = ExpertLog()
        self.changes = Changes(self)
        if self.options.start_from is not None:
            begin_with(self, Path(self.options.start_from))

    def build_model(self) -> Model:
        model = build_model(self.experiment, self._draws_as, self.shape, self.device)
        if isinstance(model, Experts):
            return model
        raise ExperimentError(
            'model.kind should be a model of experts with learning.kind = "experts", such as "experts-mlp" or'
            f' "experts-cnn". Found "{self.experiment.model.kind}".'
        )

    def make_epochs(self) -> ExpertEpochs:
        return ExpertEpochs(self)

    # --- the life of a task ---------------------------------------------------------------------

    def begin_task(self, task: Any) -> None:
        super().begin_task(task)  # first: terms that keep a snapshot want the experts of before
        self.changes.begin_task(task.index)

    def replaced(self, places: slice | torch.Tensor) -> None:
        """Tell the terms that the weights there are others than those that learned."""
        for term in self.terms:
            term.replaced(places)

    def end_task(self) -> Asking[None]:
        if not self.tasks.complete:
            yield from super().end_task()
            return
        used, frozen = self.model.used.copy(), self.model.frozen.copy()
        gates, labels = self.probed()
        classes = self.shape.heads * self.shape.classes_per_head
        rng = numpy_generator(self.seed, self.agent, "probe", self.task)
        found = specialisation(gates, labels, classes, int(used.sum()), self.model.active, rng)
        self.model.change(specialisation=np.nan_to_num(found.specialisation))
        yield from super().end_task()
        if len(labels):
            self.log.add(self.task, len(labels), found, used, frozen)
            self.changes.end_task(self.task, found)

    def probed(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Gates [n, N] and classes [n] of the probe rows: the first ones of each class of each task."""
        gates, labels = [np.zeros((0, len(self.model.used)))], [np.zeros(0, np.int64)]
        self.model.eval()
        with torch.inference_mode():
            for task in self.seen:
                rows, classes = self._probe(task)
                z = prepare_rows(self.model, rows, self.device)
                for part in torch.split(z, self.model.rows_at_once):
                    found = self.model.routed(self.model.features(part)).spread()
                    gates.append(found.double().cpu().numpy())
                labels.append(classes)
        return np.concatenate(gates), np.concatenate(labels)

    def _probe(self, task: Task) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        y = np.asarray(task.validation.y)
        first = [np.flatnonzero(y == label)[: self.options.probe] for label in np.unique(y)]
        rows = task.validation.part(np.sort(np.concatenate([np.zeros(0, np.int64), *first])))
        return rows.x(), np.asarray(rows.y) + task.head * self.shape.classes_per_head

    # --- what others ask ------------------------------------------------------------------------

    def used_modules(self) -> npt.NDArray[np.bool_]:
        """Which experts are in use [N]."""
        return self.model.used.copy()

    # --- record and checkpoint ------------------------------------------------------------------

    def tables(self) -> Tables:
        """`experts`, `routing`, `expert_classes`, `expert_changes`: see `log.py`."""
        mine, others = (type(self).__name__, self.log.tables()), super().tables()
        return joined([mine, (GradientLearner.__name__, others)])

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        super().load_tables(tables)
        self.log.load_tables(tables)

    def digest(self) -> str:
        state = self.model.module_state()
        own = b"".join(np.packbits(state[name]).tobytes() for name in ("used", "frozen"))
        return sha256(super().digest().encode() + own).hexdigest()

    def state(self) -> State:
        mine = {"experts": self.model.module_state(), "changes": self.changes.state()}
        spans = np.array([(span.start, span.stop) for span in self.model.module_spans], dtype=np.int64)
        return super().state() | mine | {LAYOUT: layout(self.parameters), SPANS: spans}

    def load(self, state: State, task_of: Callable[[int], Any] | None = None) -> None:
        super().load(state, task_of)
        self.model.load_module_state(state["experts"])
        self.changes.load(state["changes"])
