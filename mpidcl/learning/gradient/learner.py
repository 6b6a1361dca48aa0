"""The learner by gradients: one model, one optimiser, a memory, and the terms of the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from mpidcl.base.shape import Shape
from mpidcl.base.state import State
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.learning.batches import Batch, Pool, Prepared
from mpidcl.learning.gradient.fisher import diagonal_fisher
from mpidcl.learning.gradient.received import Received, marks, positions_of_others
from mpidcl.learning.learner import Scores
from mpidcl.learning.model_learner import Floats, ModelLearner
from mpidcl.learning.seen import SeenTasks, prepare_rows
from mpidcl.learning.terms.base import Term
from mpidcl.memory.buffer import Column
from mpidcl.memory.grouped import Memory, Rows
from mpidcl.model.build import repeatable
from mpidcl.network.requests import Asking
from mpidcl.randomness import EVERYBODY, generator_state, load_generator_state, numpy_generator
from mpidcl.record.measures import ACCURACY
from mpidcl.record.tables import Table, Tables, joined
from mpidcl.stream.tasks import Task

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

Labels = npt.NDArray[np.int64]


class GradientLearner(ModelLearner):
    """Learns tasks in order by stochastic gradients (the monolithic learner of DCL, arXiv 2405.17466).

    An epoch of task t goes once through its training rows, the rows that terms add (replay of old tasks) and
    all received rows, shuffled together; the loss of a batch is the mean cross-entropy, each row through its
    own head. Joint tasks: one batch of each task in turn, each with its own step.
    """

    takes = Task
    kernels: ClassVar[tuple[str, ...]] = ("step", "heads", "gather", "slots")
    """Modules of `mpidcl_kernels` that it calls: compiled once per node before the run begins."""

    class Options(Options):
        """Nothing beyond the keys of `[learning]`."""

    def __init__(self, experiment: Experiment, agent: int, shape: Shape) -> None:
        # Until the shared joint tasks are learned, all agents draw alike and so stay one and the same model.
        super().__init__(experiment, agent, shape, EVERYBODY if shape.joint_shared else agent)
        self.tasks = SeenTasks(self.model, self.device, shape.joint_tasks)
        self.memory = self._new_memory(experiment.memory.capacity, "memory")
        self.received = Received(self._new_memory)
        self.terms: list[Term] = [self._make_term(entry) for entry in experiment.learning.terms]
        self._shuffle = numpy_generator(self.seed, self._draws_as, "shuffle")
        self._pools: list[Pool] | None = None
        trainable = [s for s in self.parameters.segments if s.kind != "frozen"]
        self._always = np.array([s.kind != "heads" for s in trainable])
        self._heads = np.flatnonzero(~self._always)

    def _new_memory(self, capacity: Any, purpose: str) -> Memory:
        table = self.experiment.memory
        policy = kinds.resolve("policy", table.policy)(table.options)
        columns = [Column("x", "float32", tuple(self.shape.input_shape))]
        if self.model.prepares:
            blank = torch.zeros(1, *self.shape.input_shape, device=self.device)
            columns.append(Column("z", "float32", tuple(self.model.prepare(blank).shape[1:])))
        agent = self._draws_as if purpose == "memory" else self.agent
        return Memory(capacity, columns, policy, numpy_generator(self.seed, agent, purpose))

    def _make_term(self, entry: Any) -> Term:
        kind = entry if isinstance(entry, str) else entry.kind
        found = kinds.resolve("term", kind)
        options = found.Options() if isinstance(entry, str) else entry.options
        made: Term = found(options, self)
        return made

    # --- the life of a task ---------------------------------------------------------------------

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

    def add_term(self, term: Term) -> None:
        """Add a summand to the loss, before the first task."""
        self.terms.append(term)
        self._pools = None

    def begin_task(self, task: Any) -> None:
        """Take up `task`; called for every task in order, joint ones too."""
        self.tasks.begin(task)
        self._pools = None
        if self.experiment.learning.reset_optimizer:
            self.optimizer.reset()

    def learn(self, task_index: int, tick: int) -> Asking[None]:
        """One epoch of the current task or tasks; it asks the others nothing.

        Raises ValueError when `task_index` is not the task begun last.
        """
        if task_index != self.task:
            raise ValueError(f"The task to learn should be task {self.task}, begun last. Found {task_index}.")
        yield from ()
        self.model.train()
        for batch in self._batches():
            self._measured_step(batch)

    def _measured_step(self, batch: Batch) -> None:
        unseen = self.model.heads.unseen_flops(len(batch), self.device)
        work = self._meter.work(("step", self.task, len(batch)), unseen)
        with repeatable(self.device), work:
            self._step(batch)

    def _batches(self) -> Iterator[Batch]:
        if self._pools is None:
            self._pools = self._make_pools()
        streams = [pool.shuffled(self.batch, self._shuffle) for pool in self._pools]
        for turn in zip_longest(*streams):
            yield from (batch for batch in turn if batch is not None)

    def _make_pools(self) -> list[Pool]:
        """One pool; of several joint tasks one each."""
        sources = [term.rows(self.task) for term in self.terms] + [self._prepared(self.received.rows())]
        added = [rows for rows in sources if rows is not None and len(rows)]
        own = [self.tasks.training(u) for u in self.current]
        groups = [[*own, *added]] if len(own) == 1 else [[rows] for rows in own] + [[rows] for rows in added]
        return [Pool(Prepared.joined(group), self.shape.heads) for group in groups]

    def _step(self, batch: Batch) -> None:
        self.parameters.zero_grad()
        batch.encoded = self.model.encode_rows(batch.z, batch.tasks())
        loss, batch.logits = self.model.heads.cross_entropy(batch.encoded, batch.heads, batch.y)
        for term in self._acting_terms():
            added = term.loss(batch)
            loss = loss if added is None else loss + added
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(self._active(batch))
        for term in self._acting_terms():
            term.after_step()

    def _acting_terms(self) -> list[Term]:
        """The terms that are part of the loss now."""
        return self.terms

    def _active(self, batch: Batch) -> npt.NDArray[np.bool_]:
        """Which trainable segments took part in the loss: all but the heads that the batch does not use."""
        self._always[self._heads] = batch.present
        return self._always

    def end_task(self) -> Asking[None]:
        """Fill the memory from the training rows; of joint tasks all when the last one ends."""
        yield from ()
        if self.tasks.complete:
            self._remember()

    def _remember(self) -> None:
        for u in self.current:
            rows, task = self.tasks.training(u), self.seen[u]
            columns = {"x": task.train.x()}
            if self.model.prepares:
                columns["z"] = rows.z.cpu().numpy()
            self.memory.push(u, task.head, rows.y.cpu().numpy(), columns)
            for term in self.terms:
                term.after_task(u)
        if self._draws_as != self.agent:
            self._draw_as_oneself()

    def _draw_as_oneself(self) -> None:
        """The shared joint tasks are over: from here every agent has its own chance."""
        self._draws_as = self.agent
        for generator, purpose in ((self._shuffle, "shuffle"), (self.memory.rng, "memory")):
            load_generator_state(generator, generator_state(numpy_generator(self.seed, self.agent, purpose)))
        self.model.noise.restart(self.seed, self.agent)

    # --- what others ask ------------------------------------------------------------------------

    def remembered(self, without: tuple[int, ...] = ()) -> Prepared:
        """Rows of the memory, those of the tasks `without` left out."""
        return self._prepared(self.memory.rows(lambda task: task not in without))

    def _prepared(self, rows: Rows) -> Prepared:
        if self.model.prepares:
            z = torch.from_numpy(rows["z"])
        else:
            z = prepare_rows(self.model, rows["x"], self.device)
        return Prepared.of(z, rows["y"], rows["head"], self.device)

    def evaluate(self, upto: int) -> Asking[Scores]:
        """Accuracy [upto + 1] on the test rows of tasks 0 .. upto, in eval mode."""
        yield from ()
        return {ACCURACY.name: self._accuracies(upto)}

    def _accuracies(self, upto: int) -> npt.NDArray[np.float64]:
        self.model.eval()
        with torch.inference_mode():
            return np.array([self._accuracy(u) for u in range(upto + 1)])

    def _accuracy(self, u: int) -> float:
        rows, head = self.tasks.test(u), self.seen[u].head
        right = 0
        parts = (torch.split(tensor, self.model.rows_at_once) for tensor in (rows.z, rows.y))
        with self._test_work(u, len(rows)):
            for z, y in zip(*parts, strict=True):
                answers = self.model.heads.one(self.model.encode_rows(z, head), head).argmax(1)
                right += int((answers == y).sum())
        return right / max(1, len(rows))

    def _test_work(self, u: int, rows: int) -> AbstractContextManager[None]:
        return self._meter.work(("test", rows))

    def pool(self, u: int) -> tuple[Floats, Labels]:
        """Rows of u that may be shared: x [n, *input], y [n]. Training rows if current, else remembered."""
        if u in self.current:
            return self.seen[u].train.x(), np.asarray(self.seen[u].train.y, dtype=np.int64)
        rows = self.memory.task_rows(u)
        return rows["x"], rows["y"]

    def validation(self, u: int) -> tuple[Floats, Labels]:
        """Validation rows of task u: x [n, *input], y [n]."""
        rows = self.seen[u].validation
        return rows.x(), np.asarray(rows.y, dtype=np.int64)

    def encoder_of(self, u: int) -> int:
        """Number of the encoder that task u uses: all tasks of one model share it."""
        return 0

    def features(self, x: Floats, u: int) -> Floats:
        """Encodings [n, width] of rows x [n, *input], in eval mode."""
        return self._answers(prepare_rows(self.model, x, self.device), u, encoded=True)

    def logits(self, x: Floats, u: int) -> Floats:
        """Logits [n, classes_per_head] of rows x [n, *input] through the head of task u, in eval mode."""
        return self._answers(prepare_rows(self.model, x, self.device), u)

    def _answers(self, z: torch.Tensor, u: int, encoded: bool = False) -> Floats:
        """Logits of prepared rows z through the head of task u, or their encodings, in eval mode."""
        self.model.eval()
        head, parts = self.seen[u].head, []
        with torch.inference_mode():
            for rows in torch.split(z, self.model.rows_at_once):
                found = self.model.encode_rows(rows, head)
                parts.append((found if encoded else self.model.heads.one(found, head)).cpu().numpy())
        return np.concatenate(parts)

    def fisher(self) -> Floats:
        """Diagonal Fisher information [shared] from the training rows of the current tasks."""
        rows = Prepared.joined([self.tasks.training(u) for u in self.current])
        found: Floats = diagonal_fisher(self.model, rows).cpu().numpy()
        return found

    def set_received_capacity(self, rows_per_task: int) -> None:
        """Make room for received rows; the largest room asked for counts."""
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
        self._pools = None
        return self.received.push(u, self.seen[u].head, np.asarray(y, dtype=np.int64), columns)

    # --- record and checkpoint --------------------------------------------------------------------

    def counters(self) -> dict[str, int]:
        """`flops`, and `training_floats`: of the training rows of all tasks begun (rows x floats per row)."""
        rows = sum(len(task.train) for task in self.seen)
        return super().counters() | {"training_floats": rows * math.prod(self.shape.input_shape)}

    def tables(self) -> Tables:
        """Those of its terms."""
        return joined((type(term).__name__, term.tables()) for term in self.terms)

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        for term in self.terms:
            term.load_tables(tables)

    def state(self) -> State:
        """Everything that a resumed run needs, but for the tasks themselves."""
        return {
            "task": self.task,
            "draws_as": self._draws_as,
            "parameters": self.parameters.state(),
            "optimizer": self.optimizer.state(),
            **self._chances(),
            "memory": self.memory.state(),
            "received": self.received.state(),
            "terms": {str(index): term.state() for index, term in enumerate(self.terms)},
            "flops": self._meter.total,
        }

    def _chances(self) -> State:
        """State of the generators that learning draws from."""
        return {"shuffle": generator_state(self._shuffle), "noise": self.model.noise.state()}

    def _load_chances(self, state: State) -> None:
        load_generator_state(self._shuffle, state["shuffle"])
        self.model.noise.load(state["noise"])

    def load(self, state: State, task_of: Callable[[int], Any] | None = None) -> None:
        """Go on from `state`; `task_of(index)` gives the tasks that have not been begun here yet."""
        for index in range(len(self.seen), int(state["task"]) + 1):
            if task_of is None:
                raise ValueError(f"Task {index} should have begun, or `task_of` be given. Found neither.")
            self.tasks.begin(task_of(index))
        self._draws_as = int(state["draws_as"])
        self.parameters.load(state["parameters"])
        self.optimizer.load(state["optimizer"])
        self._load_chances(state)
        self.memory.load(state["memory"])
        self.received.load(state["received"])
        for index, term in enumerate(self.terms):
            term.load(state["terms"].get(str(index), {}))
        self._meter.total = int(state["flops"])
        self._pools = None
