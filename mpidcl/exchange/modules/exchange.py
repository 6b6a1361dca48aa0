"""Sharing modules: neighbours send each other modules that they added, as first weights of a candidate.

Module sharing ("modmod") of "Distributed Continual Learning" (arXiv 2405.17466):

    leg 1   the agent tells every neighbour about its new task: class keys, rows, or nothing
    leg 2   the neighbour ranks its own tasks that really added a module, and returns the best `count` of
            these modules with head and structure of their tasks
    settle  the agent orders what came, by similarity or by a trial training, and hands the best `keep` to
            its learner; they take the place of random candidates

A neighbour without an added module, or without room for one, says nothing. When nothing comes, or the
question or the answer is lost, the candidate stays random. An agent asks once per task, and not in
initial tasks or when it may not grow any more. LEEP and trials use validation rows, which then decide
about acceptance too: test rows are never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from mpidcl.base.state import Facts, State
from mpidcl.errors import ExperimentError, FrameError
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Neighbourhood, Received
from mpidcl.exchange.capabilities import SharesModules, missing_methods
from mpidcl.exchange.knowledge import Knowledge
from mpidcl.exchange.modules import answers, choice
from mpidcl.exchange.modules.fits import Fit, ModuleShapes, fit, misfit_note
from mpidcl.exchange.modules.options import ModulesOptions
from mpidcl.exchange.modules.queries import (
    Question,
    blank_question,
    question,
    read_question,
    scored_rows,
)
from mpidcl.exchange.modules.ranking import Ranked, ranked
from mpidcl.exchange.packing.rows import Floats
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.compositional.modular import ForeignModule
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Message

_Came = tuple[int, answers.SentModule]
"""The sender of a module, and the module."""


class ModulesExchange(Exchange):
    """Asks neighbours for modules and answers theirs.

    `asked` counts the questions sent, `received` the modules that came, `taken` those that were handed to
    the learner as candidates. Raises ExperimentError for a learner without modules.
    """

    Options: ClassVar[type[Options]] = ModulesOptions
    legs: ClassVar[int] = 2
    kernels: ClassVar[tuple[str, ...]] = ("quantise",)
    options: ModulesOptions
    learner: SharesModules

    @classmethod
    def needs(cls, options: ModulesOptions) -> tuple[type, ...]:
        """Modules, and rows where questions are made of them."""
        return (SharesModules,)

    @classmethod
    def modules_on_trial(cls, options: ModulesOptions) -> int:
        return options.together if options.choose == "try-out" else 0

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A learner without modules, and a time at which modules come too late."""
        yield from super().problems(use)
        when = use.mine.exchange[int(use.key[1])].when
        if when in ("after", "task end"):
            yield Problem(
                (*use.key, "when"),
                'should be "task start" or "before" for modules: what comes replaces the first weights of a'
                f' candidate, its head and its structure, and is then learned. Found "{when}"',
            )

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Nobody tries any."""
        learners = [use.whole.for_agent(alike[0]).learning for alike in use.whole.alike()]
        trying = [
            kinds.resolve("learner", one.kind).candidates_of(one.options)
            for one in learners
            if not missing_methods(kinds.resolve("learner", one.kind), (SharesModules,))
        ]
        if trying and not any(trying):
            yield (
                "note: no agent asks for modules, because none tries any: set [learning] candidates above 0."
            )

    def __init__(self, options: ModulesOptions, learner: SharesModules, neighbourhood: Neighbourhood) -> None:
        super().__init__(options, learner, neighbourhood)
        _check_places(options, learner, neighbourhood.agent)
        self.known = Knowledge(learner, neighbourhood.agent)
        self.shapes = ModuleShapes.of(learner.module_facts())
        self.asked = self.received = self.taken = 0
        self._fits: dict[int, Fit] = {}
        self._row = self._row_shape()
        self._task = -1
        self._asked_task = -1
        self._question: Question | None = None
        self._asked_now: set[int] = set()

    def _row_shape(self) -> tuple[int, ...]:
        """Shape of the rows of a question."""
        shape = self.known.input_shape
        if not self.options.asks_with_rows or self.options.query == "rows":
            return shape
        prepared = self.learner.prepared(np.zeros((1, *shape), np.float32))
        return tuple(int(size) for size in prepared.shape[1:])

    @property
    def oracles(self) -> list[str]:
        """The oracle information that this exchange uses."""
        return self.options.oracles

    # --- bytes ------------------------------------------------------------------------------------

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        """From one row per class and one module in the smallest form to everything that is asked for.

        Question and answer both: the agent's question to `target` and its answer to the question of `target`.
        """
        options, parts = self.options, self._parts(target, self.known.classes_per_head)
        best, last = answers.forms(options.precision)[0], answers.forms(options.precision)[-1]
        rows = options.query_rows
        least = blank_question(options, self.known, self._row, 1) + answers.answer_bytes(parts, last, 1)
        most = blank_question(options, self.known, self._row, rows)
        most += answers.answer_bytes(parts, best, options.count)
        return ByteRange(least, max(least, most if budget is None else min(most, budget)))

    def _parts(self, neighbour: int, classes: int) -> answers.Parts:
        fits = self._fits.get(neighbour, Fit())
        return answers.Parts.of(self.options, self.shapes, classes, fits)

    # --- a meeting --------------------------------------------------------------------------------

    def begin_use(self, task: int) -> None:
        """Prepare the question about a task not asked about before; all neighbours hear the same one."""
        self._question, self._task, self._asked_now = None, task, set()
        if task > self._asked_task and task in self.known.tasks and len(self.learner.candidates):
            self._asked_task = task
            self._question = question(self.options, self.known, task)

    def ask(self, link: LinkUse) -> Message | None:
        """The question, with as many rows as leave room for the answers; None when no module could come."""
        if self._question is None or not self._fits.get(link.target, Fit()).modules:
            return None
        parts = self._parts(link.target, self._question.classes)
        smallest = answers.forms(self.options.precision)[-1]
        for modules in dict.fromkeys((self.options.count, 1)):
            answer = answers.answer_bytes(parts, smallest, modules)
            message = self._fitting(self._question, link.room - answer, link.answer_room)
            if message is not None and answer <= link.answer_room:
                self.asked += 1
                self._asked_now.add(link.target)
                return message
        return None

    def _fitting(self, asked: Question, room: int, answer_room: int) -> Message | None:
        """The question with the most rows per class that fit `room` bytes."""
        for per_class in range(asked.per_class, 0, -1) if asked.per_class else (0,):
            message = asked.message(per_class, answer_room)
            if message_bytes(message) <= room:
                return message
        return None

    def answer(self, link: LinkUse, message: Message) -> Message | None:
        """The modules that fit the question best; None when there are none, or no room for one."""
        if not self._fits.get(link.target, Fit()).modules:
            return None
        heard = read_question(self.options, self._row, message)
        parts = self._parts(link.target, heard.classes)
        best = ranked(self.options, self.known, heard)[: self.options.count]
        offered = [module for found in best if (module := self._sent(found, parts)) is not None]
        room = min(link.room, message.room)
        planned = answers.plan(parts, self.options.precision, len(offered), room)
        if planned is None:
            return None
        form, count = planned
        return answers.answer_message(offered[:count], form)

    def _sent(self, found: Ranked, parts: answers.Parts) -> answers.SentModule | None:
        """One module of this agent; None when it or its head is not finite (learning has diverged)."""
        learner, task = self.learner, found.task
        weights = learner.module(found.module).ravel()
        head = learner.head_of(task) if parts.head else None
        structure = self._structure(found) if parts.structure else None
        if not all(np.isfinite(part).all() for part in (weights, head, structure) if part is not None):
            return None
        sources = found.sources if parts.sources else None
        return answers.SentModule(task, found.module, found.similarity, weights, head, structure, sources)

    def _structure(self, found: Ranked) -> Floats:
        """Logits of the basis modules' rows, then of the module's own row."""
        logits = self.learner.structure_of(found.task)
        basis = self.shapes.structure[0] - 1
        return np.concatenate([logits[:basis], logits[found.module : found.module + 1]]).astype(np.float32)

    # --- what came --------------------------------------------------------------------------------

    def settle(self, received: list[Received]) -> None:
        """Choose among what came, in order of sender, and hand the best to the learner.

        Raises FrameError, before the learner is told anything, when a message is not what it should be.
        """
        came = [pair for item in sorted(received, key=lambda r: r.source) for pair in self._read(item)]
        self.received += len(came)
        places = min(self.options.keep, len(self.learner.candidates))
        chosen = self._choose(came)[:places] if came else []
        if chosen:
            self.learner.take_candidates(chosen)
            self.taken += len(chosen)
        self._question = None

    def _read(self, item: Received) -> list[_Came]:
        if self._question is None or item.source not in self._asked_now:
            raise FrameError(f"agent {item.source} should send modules only when asked. Found some unasked.")
        parts = self._parts(item.source, self._question.classes)
        scored = self.options.rank_by == "label" or self.options.asks_with_rows
        found = answers.read_answer(item.message, parts, self.options.count, scored)
        return [(item.source, module) for module in found]

    def _choose(self, came: list[_Came]) -> list[ForeignModule]:
        """What came, the best first, as the learner takes it."""
        options = self.options
        if options.receiver_scores:
            rows = scored_rows(self.known, self._task, options.query_rows)
            came = [(s, choice.scored_here(options, self.learner, s, module, rows)) for s, module in came]
        labels = self.known.classes(self._task).labels
        modules = [choice.foreign(options, s, module, labels) for s, module in came]
        scores = [module.origin.similarity for module in modules]
        if options.choose == "try-out":
            scores = self.learner.try_out(modules, options.trial_epochs, options.together)
        return choice.best_first(modules, scores)

    # --- start, record, checkpoint ----------------------------------------------------------------

    def start_facts(self) -> Facts:
        """The agent, the shapes of its modules, heads and structures, and its input stage."""
        shape = list(self.known.input_shape)
        return {**self.learner.module_facts(), "agent": self.neighbourhood.agent, "input_shape": shape}

    def learn_facts(self, neighbour: int, mine: Facts, theirs: Facts) -> str | None:
        """Remember what may travel to and from a neighbour; a note where that is not everything."""
        self._fits[neighbour] = fit(self.options, mine, theirs)
        return misfit_note(self.options, mine, theirs)

    def state(self) -> State:
        """Counts, and the last task that was asked about."""
        return {
            "asked": self.asked,
            "received": self.received,
            "taken": self.taken,
            "asked_task": self._asked_task,
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self.asked, self.received, self.taken = (int(state[k]) for k in ("asked", "received", "taken"))
        self._asked_task = int(state["asked_task"])


def _check_places(options: ModulesOptions, learner: SharesModules, agent: int) -> None:
    places = learner.candidates_of(learner.options)
    if 0 < places < options.keep:
        raise ExperimentError(
            f"[[exchange]] keep should be at most [learning] candidates, {places} at agent {agent}. "
            f"Found {options.keep}: the others would never be tried. Raise candidates or lower keep."
        )
