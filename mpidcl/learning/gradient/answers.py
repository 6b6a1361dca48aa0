"""What a learner with tasks, a memory and an objective answers: rows, outputs and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from mpidcl.base.arrays import Parts
from mpidcl.base.shape import Shape
from mpidcl.errors import ExperimentError, RecordError
from mpidcl.experiment import kinds
from mpidcl.experiment.units import Capacity
from mpidcl.learning.batches import Columns, Drawn, Prepared
from mpidcl.learning.gradient.fisher import diagonal_fisher
from mpidcl.learning.gradient.received import Received, marks, positions_of_others
from mpidcl.learning.gradient.squares import label_fisher
from mpidcl.learning.model_learner import Floats, ModelLearner
from mpidcl.learning.objectives.base import Objective
from mpidcl.learning.seen import SeenTasks, prepare_rows
from mpidcl.learning.terms.base import Answering
from mpidcl.memory.buffer import Column
from mpidcl.memory.grouped import Memory
from mpidcl.randomness import numpy_generator
from mpidcl.stream.tasks import Answers

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

Labels = npt.NDArray[np.int64]
BASIC = ("x", "z", "y", "task", "head")
"""Columns of a memory that no term may declare."""


class AnsweringLearner(ModelLearner):
    """A model, the tasks that it has begun, and a memory of received rows; its own is made later."""

    memory: Memory

    def __init__(self, experiment: Experiment, agent: int, shape: Shape, draws_as: int) -> None:
        super().__init__(experiment, agent, shape, draws_as)
        table = experiment.learning.objective
        self.objective: Objective = kinds.resolve("objective", table.kind)(table.options)
        self.measures = self.objective.measures
        self.tasks = SeenTasks(self.model, self.device, shape)
        self.received = Received(self._received_memory)
        self.rows_version = 0
        """Counts what may have changed the rows of an epoch."""

    def _received_memory(self, capacity: Capacity, purpose: str) -> Memory:
        return self._new_memory(capacity, numpy_generator(self.seed, self.agent, purpose))

    def _new_memory(
        self, capacity: Capacity, rng: np.random.Generator, more: Sequence[Column] = ()
    ) -> Memory:
        table = self.experiment.memory
        policy = kinds.resolve("policy", table.policy)(table.options)
        y = Column("y", self.objective.y_dtype, self.objective.y_shape(self.shape))
        if capacity.per == "class" and not self.objective.classes:
            raise ExperimentError(
                "`memory.capacity` should be rows per task or in all, because the objective"
                f' "{self.experiment.learning.objective.kind}" knows no classes. Found "{capacity}".'
            )
        columns = [Column("x", "float32", tuple(self.shape.input_shape))]
        if self.model.prepares:
            blank = torch.zeros(1, *self.shape.input_shape, device=self.device)
            columns.append(Column("z", "float32", tuple(self.model.prepare(blank).shape[1:])))
        return Memory(capacity, [*columns, *more], policy, rng, y)

    # --- tasks ------------------------------------------------------------------------------------

    @property
    def task(self) -> int:
        """Index of the task begun last; -1 before the first."""
        return len(self.tasks.tasks) - 1

    @property
    def seen(self) -> list[Any]:
        """All tasks begun, in order."""
        return self.tasks.tasks

    @property
    def current(self) -> tuple[int, ...]:
        """Tasks in training: one, or all joint tasks so far."""
        return self.tasks.current

    # --- rows -------------------------------------------------------------------------------------

    def remembered(self, without: tuple[int, ...] = ()) -> Prepared:
        """Rows of the memory, those of the tasks `without` left out."""
        return self.prepared_rows(self.memory.rows(lambda task: task not in without))

    def prepared_rows(self, rows: Mapping[str, npt.NDArray[Any]]) -> Drawn:
        """Rows of a memory, ready for the encoder, with the columns that terms have declared."""
        if self.model.prepares:
            z = torch.from_numpy(rows["z"])
        else:
            z = prepare_rows(self.model, rows["x"], self.device)
        found = Prepared.of(z, rows["y"], rows["head"], self.device)
        more = {name: torch.from_numpy(rows[name]).to(self.device) for name in rows if name not in BASIC}
        return Drawn(found.z, found.y, found.heads, Columns(more))

    def prepared_tensors(self, rows: Mapping[str, torch.Tensor]) -> Drawn:
        """The same from copies of rows that are in no one else's hands, on the CPU: none is copied again."""
        if self.device.type != "cpu":
            rows = {name: values.to(self.device) for name, values in rows.items()}
        z = rows["z"] if self.model.prepares else self.model.prepare(rows["x"])
        more = Columns({name: values for name, values in rows.items() if name not in BASIC})
        return Drawn(z, rows["y"], rows["head"], more)

    def pool(self, u: int) -> tuple[Floats, Answers]:
        """Rows of u that may be shared: x [n, *input], y [n]. Training rows if current, else remembered."""
        if u in self.current:
            return self.seen[u].train.x(), self.seen[u].train.y
        rows = self.memory.task_rows(u)
        return rows["x"], rows["y"]

    def validation(self, u: int) -> tuple[Floats, Answers]:
        """Validation rows of task u: x [n, *input], y [n]."""
        rows = self.seen[u].validation
        return rows.x(), np.asarray(rows.y)

    def set_received_capacity(self, rows_per_task: int) -> None:
        """Make room for received rows; the largest room asked for counts."""
        self._require_classes("An exchange of rows")
        self.received.set_capacity(rows_per_task)

    def receive_rows(self, u: int, x: Floats, y: Labels, reject_duplicates: bool = False) -> int:
        """Offer rows of others for task u to the received memory, from where they join every later epoch.

        x [n, *input], y [n] labels inside the head of u. Rows that the agent validates on, in any of its
        tasks, are left out, and if `reject_duplicates` those that it has already. Returns how many it took.
        """
        known = self.tasks.held_back(u)
        if reject_duplicates:
            known = known | marks((self.pool(u)[0], self.received.of_task(u)["x"]))
        chosen = positions_of_others(x, known, repeated=not reject_duplicates)
        x, y = x[chosen], y[chosen]
        if not len(y):
            return 0
        columns = {"x": np.asarray(x, dtype=np.float32)}
        if self.model.prepares:
            columns["z"] = prepare_rows(self.model, x, self.device).cpu().numpy()
        self.rows_version += 1
        return self.received.push(u, self.seen[u].head, np.asarray(y, dtype=np.int64), columns)

    def _require_classes(self, what: str) -> None:
        if not self.objective.classes:
            raise ExperimentError(
                f"{what} should go with an objective that knows classes, such as learning.objective ="
                f' "classification". Found "{self.experiment.learning.objective.kind}".'
            )

    # --- outputs ----------------------------------------------------------------------------------

    def encoder_of(self, u: int) -> int:
        """Number of the encoder that task u uses: all tasks of one model share it."""
        return 0

    def features(self, x: Floats, u: int) -> Floats:
        """Encodings [n, width] of rows x [n, *input], in eval mode."""
        return self.answers(prepare_rows(self.model, x, self.device), u, encoded=True)

    def logits(self, x: Floats, u: int) -> Floats:
        """Outputs [n, classes_per_head] of rows x [n, *input] through the head of task u, in eval mode."""
        return self.answers(prepare_rows(self.model, x, self.device), u)

    def answers(self, z: torch.Tensor, u: int, encoded: bool = False) -> Floats:
        """Outputs of prepared rows z through the head of task u, or their encodings, in eval mode."""
        self.model.eval()
        head, parts = self.seen[u].head, []
        with torch.inference_mode():
            for rows in torch.split(z, self.model.rows_at_once):
                found = self.model.encode_rows(rows, head)
                parts.append((found if encoded else self.model.outputs_of(found, head)).cpu().numpy())
        return np.concatenate(parts)

    def scores(self, u: int, work: AbstractContextManager[None], answer: Answering) -> tuple[float, ...]:
        """All measures of what `answer` gives on the test rows of task u; in eval mode, inside `work`."""
        rows, head = self.tasks.test(u), self.seen[u].head
        with work:
            parts = torch.split(rows.z, self.model.rows_at_once)
            outputs = [answer(self.model.encode_rows(z, head), head) for z in parts]
        found = self.objective.scores(torch.cat(outputs), rows.y)
        for measure in self.measures:
            if measure.name not in found:
                raise RecordError(
                    f"{type(self.objective).__name__}.scores() should give `{measure.name}`, which the class"
                    f" declares in `measures`. Found {', '.join(found) or 'nothing'}."
                )
        return tuple(found[measure.name] for measure in self.measures)

    def probe(self, most: int) -> Prepared:
        """At most `most` training rows of the current tasks, evenly spaced: the same in all of a task."""
        rows = Prepared.joined([self.tasks.training(u) for u in self.current])
        if len(rows) <= most:
            return rows
        chosen = np.linspace(0, len(rows) - 1, most).astype(np.int64)
        return rows.take(torch.from_numpy(chosen).to(rows.y.device))

    def label_fisher(self, most: int) -> Floats:
        """Squared gradient [learning] of log p(label | row), a mean over the rows of `probe`."""
        self._require_classes("The Fisher information")
        found: Floats = label_fisher(self.model, self.probe(most)).cpu().numpy()
        return found

    def fisher(self, parts: Parts = "shared") -> Floats:
        """Diagonal Fisher information [span] from the training rows of the current tasks."""
        self._require_classes("The Fisher information")
        rows = Prepared.joined([self.tasks.training(u) for u in self.current])
        kinds = ("shared", "heads") if parts == "all" else ("shared",)
        found: Floats = diagonal_fisher(self.model, rows, kinds).cpu().numpy()
        return found
