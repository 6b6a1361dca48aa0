"""The learner by gradients: one model, one optimiser, a memory, and the terms of the loss.

What an epoch consists of is a part of its own (`epochs.py`), and so is how rows come into the memory
(`insertion.py`) and what the learner answers (`answers.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mpidcl.base.shape import Shape
from mpidcl.base.state import State, state_of
from mpidcl.experiment import kinds
from mpidcl.experiment.part import OptionsClass, Use
from mpidcl.experiment.problems import Problem
from mpidcl.experiment.sections import Term as TermTable
from mpidcl.learning.augment import Augment
from mpidcl.learning.batches import Prepared
from mpidcl.learning.global_rehearsal import Global
from mpidcl.learning.gradient.answers import AnsweringLearner, Labels
from mpidcl.learning.gradient.epochs import Epochs
from mpidcl.learning.gradient.insertion import Insertion, columns_of
from mpidcl.learning.gradient.options import GradientOptions
from mpidcl.learning.gradient.rules import (
    check_shared_joint_tasks,
    global_memory_problems,
    measure_problems,
    memory_problems,
    one_model_problems,
    precision_notes,
    precision_problems,
    restart_notes,
    restart_problems,
    shuffled_notes,
)
from mpidcl.learning.gradient.steps import Steps
from mpidcl.learning.learner import Scores
from mpidcl.learning.model_learner import Floats
from mpidcl.learning.rehearsal import Local, Rehearsal, Whose
from mpidcl.learning.schedules import pace_of
from mpidcl.learning.seen import prepare_rows
from mpidcl.learning.sharing.one_model import OneModel, OwnModel
from mpidcl.learning.terms.base import Term, make_term
from mpidcl.model.build import build_model
from mpidcl.network.requests import Asking
from mpidcl.randomness import EVERYBODY, generator_state, load_generator_state, numpy_generator
from mpidcl.record.tables import Table, Tables, joined
from mpidcl.stream.tasks import Task

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class GradientLearner(AnsweringLearner):
    """Learns tasks in order by stochastic gradients (the monolithic learner of DCL, arXiv 2405.17466).

    An epoch of task t goes once through its training rows, the rows that terms add (replay of old tasks) and
    all received rows, shuffled together; the loss of a batch is the mean loss of the objective, each row
    through its own head. Joint tasks: one batch of each task in turn, each with its own step, or all rows
    shuffled together.
    """

    takes = Task
    uses = ("model", "memory", "objective", "terms")
    trains_one_model = draws_from_all = balances_draws = looks_ahead = True
    follows_schedule = mixes_precision = True
    inserts: ClassVar[tuple[str, ...]] = ("task end", "each step")
    kernels: ClassVar[tuple[str, ...]] = ("step", "heads", "gather", "slots")
    """Modules of `mpidcl_kernels` that it calls: compiled once per node before the run begins."""

    Options: ClassVar[OptionsClass] = GradientOptions

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A memory of a share of the rows of one batch; agents of one model that share or differ."""
        yield from super().problems(use)
        yield from restart_problems(use)
        yield from precision_problems(use)
        if use.whole.learning.one_model and use.mine is use.whole and cls.trains_one_model:
            yield from one_model_problems(use.whole)
        if use.whole.memory.scope == "global" and use.mine is use.whole and cls.draws_from_all:
            yield from global_memory_problems(use.whole)
        if use.mine is not use.whole and use.mine.learning.kind == use.whole.learning.kind:
            yield from measure_problems(use)
        if use.mine.memory.used:  # else of a rule that changes the learner: said elsewhere
            yield from memory_problems(use)

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Joint tasks that are none."""
        yield from shuffled_notes(use)
        yield from restart_notes(use)
        yield from precision_notes(use)

    def __init__(self, experiment: Experiment, agent: int, shape: Shape) -> None:
        given = experiment.learning.options
        self.ways = given if isinstance(given, GradientOptions) else GradientOptions()
        one_model = experiment.learning.one_model
        if shape.joint_shared:
            check_shared_joint_tasks(experiment, self.ways)
        # Until the shared joint tasks are learned, all agents draw alike and so stay one and the same model.
        super().__init__(experiment, agent, shape, EVERYBODY if shape.joint_shared or one_model else agent)
        if one_model:
            self._share_weights_only()
        self.sharing = (
            OneModel(self.parameters, shape.heads, agent, experiment.agents)
            if one_model and experiment.agents > 1
            else OwnModel()
        )
        self.each_step = experiment.memory.insert == "each step"
        self.shuffle = numpy_generator(self.seed, self._draws_as, "shuffle")
        changes = numpy_generator(self.seed, self._draws_as, "augment")
        self.augment = Augment(shape.augment, shape, self.model, changes)
        self.steps = Steps(self)
        self.pace = pace_of(experiment, self.optimizer)
        self.terms: list[Term] = [self._make_term(entry) for entry in experiment.learning.terms]
        self._open_memory()
        self.epochs = self.make_epochs()

    def make_epochs(self) -> Epochs:
        """What its epochs consist of; other ones in a subclass. Called once, when all else is made."""
        return Epochs(self)

    def _share_weights_only(self) -> None:
        """All agents have drawn the same first weights; all else is each one's own chance."""
        self._draws_as = self.agent
        self.model.noise.restart(self.seed, self.agent)

    def _make_term(self, entry: TermTable | str) -> Term:
        kind = entry if isinstance(entry, str) else entry.kind
        found: type[Term] = kinds.resolve("term", kind)
        return make_term(found, found.default_options() if isinstance(entry, str) else entry.options, self)

    def _open_memory(self) -> None:
        """A memory with the columns of all terms, and what draws from it."""
        more = columns_of(self.terms)
        rng = numpy_generator(self.seed, self._draws_as, "memory")
        self.memory = self._new_memory(self.experiment.memory.capacity, rng, more)
        row = "z" if self.model.prepares else "x"
        names = (row, "y", "head", *(column.name for column in more))
        self.rehearsal = self._new_rehearsal(names)
        self.rehearsal.open(self.terms)
        self.insertion = Insertion(self)

    def _new_rehearsal(self, names: Sequence[str]) -> Rehearsal:
        memory, shape = self.experiment.memory, self.shape
        even = memory.draw == "class-balanced"
        classes = (shape.heads * shape.classes_per_head, shape.classes_per_head) if even else (0, 0)
        if memory.scope == "global":
            whose = Whose(self.seed, self.agent, self.experiment.agents, *classes)
            return Global(self.memory, names, self.prepared_tensors, whose)
        ready = self.prepared_tensors if self.each_step else None
        whose = Whose(self.seed, self._draws_as, 1, *classes)
        return Local(self.memory, names, self.prepared_rows, ready, whose)

    # --- the life of a task ---------------------------------------------------------------------

    def add_term(self, term: Term) -> None:
        """Add a summand to the loss, before the first task."""
        self.terms.append(term)
        self.rows_version += 1
        self._open_memory()

    def begin_task(self, task: Any) -> None:
        """Take up `task`; called for every task in order, joint ones too.

        Raises ExperimentError where y is none for the objective.
        """
        self.objective.check(task.train.y, self.shape)
        self.tasks.begin(task)
        self.pace.begin_task()
        self.rows_version += 1
        if self.ways.restart and task.index and self.current == (task.index,):
            self._restart(task.index)
        elif self.experiment.learning.reset_optimizer:
            self.optimizer.reset()
        if self.tasks.complete:
            for term in self.terms:
                term.before_task(task.index)

    def _restart(self, task: int) -> None:
        """New first weights for this task, of one model drawn by all alike; memory and terms stay."""
        drawn_by = EVERYBODY if self.experiment.learning.one_model else self.agent
        purpose = f"restart, task {task}"
        fresh = build_model(self.experiment, drawn_by, self.shape, self.device, purpose=purpose)
        self.parameters.load(fresh.flat.state())
        self.optimizer.reset()

    def learn(self, task_index: int, tick: int) -> Asking[None]:
        """One epoch of the current task or tasks.

        Raises ValueError when `task_index` is not the task begun last.
        """
        if task_index != self.task:
            raise ValueError(f"The task to learn should be task {self.task}, begun last. Found {task_index}.")
        self.pace.begin_tick(tick)
        for _ in self.epochs.passes(tick):
            yield from self.one_pass()

    def one_pass(self) -> Asking[None]:
        """One pass over the rows of an epoch."""
        yield from self.steps.one_pass()

    def take_teachers(self, models: Mapping[int, Mapping[str, Floats]]) -> None:
        """What neighbours have sent to teach: floats of each kind of segments that travels, by agent."""
        for term in self.terms:
            term.take_teachers(models)

    def take_predictions(self, x: Floats, heads: Labels, outputs: Floats) -> None:
        """Outputs [n, classes] of others on rows x [n, *input], each through the head `heads[i]`."""
        z = prepare_rows(self.model, x, self.device)
        rows = Prepared.of(z, np.zeros(len(z), dtype=np.int64), heads, self.device)
        for term in self.terms:
            term.take_predictions(rows, torch.from_numpy(outputs.copy()).to(self.device))

    def outputs(self, rows: Prepared) -> Tensor:
        """What the model answers to rows, each through its own head [n, outputs of a head]."""
        return self.steps.outputs(rows)

    def end_task(self) -> Asking[None]:
        """Fill the memory from the training rows, unless it is filled at each step; of joint tasks all when
        the last one ends."""
        yield from ()
        if not self.tasks.complete:
            return
        for u in self.current:
            if not self.each_step:
                self.insertion.task(u)
            for term in self.terms:
                term.after_task(u)
            self.rehearsal.log.end_task(u, self.memory.labels)
        if self._draws_as != self.agent:
            self._draw_as_oneself()

    def _draw_as_oneself(self) -> None:
        """The shared joint tasks are over: from here every agent has its own chance."""
        self._draws_as = self.agent
        for generator, purpose in (
            (self.shuffle, "shuffle"),
            (self.augment.rng, "augment"),
            (self.memory.rng, "memory"),
        ):
            load_generator_state(generator, generator_state(numpy_generator(self.seed, self.agent, purpose)))
        self.model.noise.restart(self.seed, self.agent)
        self.rehearsal.draw_as(self.agent)

    def evaluate(self, upto: int) -> Asking[Scores]:
        """All measures of the objective [upto + 1] on the test rows of tasks 0 .. upto, in eval mode."""
        yield from ()
        return self.epochs.measured(range(upto + 1))

    def evaluate_ahead(self, tasks: Sequence[Any]) -> Asking[Scores]:
        """The same on the test rows of tasks to come [n]."""
        yield from ()
        first = self.task + 1
        with self.tasks.as_if_begun(tasks):
            return self.epochs.measured(range(first, first + len(tasks)))

    # --- record and checkpoint --------------------------------------------------------------------

    def tables(self) -> Tables:
        """The tables of its terms, and of its rehearsal."""
        terms = [(type(term).__name__, term.tables()) for term in self.terms]
        return joined([*terms, (type(self.rehearsal).__name__, self.rehearsal.log.tables())])

    def counters(self) -> dict[str, int]:
        """`flops`, `parameters`; `training_floats`: of the training rows of all tasks begun (rows x floats
        per row); `replay_bytes`: of the rows that its memory holds. With a global memory `drawn_bytes`: of
        what it sent for draws; of agents that train one model `combined_bytes`: sent to combine gradients,
        and `model`: whose it is. What is sent is counted as if each agent had its own rank."""
        rows = sum(len(task.train) for task in self.seen)
        found = super().counters() | {
            "training_floats": rows * math.prod(self.shape.input_shape),
            "replay_bytes": self.memory.nbytes,
        }
        if self.experiment.memory.scope == "global":
            found["drawn_bytes"] = self.rehearsal.sent_bytes
        if not self.experiment.learning.one_model:
            return found
        return found | {"combined_bytes": self.sharing.sent_bytes, "model": 0}

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        for term in self.terms:
            term.load_tables(tables)
        self.rehearsal.log.load_tables(tables)

    def state(self) -> State:
        """Everything that a resumed run needs, but for the tasks themselves."""
        return {
            "task": self.task,
            "draws_as": self._draws_as,
            "parameters": self.parameters.state(),
            "optimizer": self.optimizer.state(),
            **self.chances(),
            "memory": self.memory.state(),
            "rehearsal": self.rehearsal.state(),
            "received": self.received.state(),
            "sharing": self.sharing.state(),
            **self.pace.state(),
            "terms": {str(index): state_of(term) for index, term in enumerate(self.terms)},
            "flops": self.meter.total,
        }

    def chances(self) -> State:
        """State of the generators that learning draws from."""
        return {
            "shuffle": generator_state(self.shuffle),
            "augment": generator_state(self.augment.rng),
            "noise": self.model.noise.state(),
        }

    def load_chances(self, state: State) -> None:
        """Put back what `chances` returned."""
        load_generator_state(self.shuffle, state["shuffle"])
        load_generator_state(self.augment.rng, state["augment"])
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
        self.load_chances(state)
        self.memory.load(state["memory"])
        self.rehearsal.load(state["rehearsal"])
        self.received.load(state["received"])
        self.sharing.load(state["sharing"])
        self.pace.load(state)
        for index, term in enumerate(self.terms):
            term.load(state["terms"].get(str(index), {}))
        self.meter.total = int(state["flops"])
        self.rows_version += 1
