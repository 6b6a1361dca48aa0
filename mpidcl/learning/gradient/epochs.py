"""What an epoch consists of: its batches, the steps of each, what learns in a step, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from mpidcl.learning.batches import Batch, Pool, Prepared
from mpidcl.learning.learner import Scores
from mpidcl.learning.terms.base import Answering, Term

if TYPE_CHECKING:
    from mpidcl.learning.gradient.learner import GradientLearner

Mask = npt.NDArray[np.bool_]
Group = tuple[tuple[int, ...], list[Prepared]]
"""Tasks, and what goes into one pool: the training rows of each task first, then others."""


class Epochs:
    """The epochs of the plain learner: all rows once, one step per batch, all terms, all segments in use.

    A learner whose epochs are others has a subclass of its own, and changes nothing else of how it learns.
    """

    def __init__(self, learner: GradientLearner) -> None:
        self._learner = learner
        self._made: tuple[int, list[Pool]] | None = None
        trainable = [s for s in learner.parameters.segments if s.kind != "frozen"]
        self._always = np.array([s.kind != "heads" for s in trainable])
        self._heads = np.flatnonzero(~self._always)

    # --- batches ----------------------------------------------------------------------------------

    def passes(self, tick: int) -> Iterator[None]:
        """Tick `tick` of a task begins; one pass over the rows for each None that this gives."""
        yield

    def groups(self) -> list[Group]:
        """What goes into which pool: all rows into one; of joint tasks in turn each into its own."""
        learner = self._learner
        sources = [term.rows(learner.task) for term in learner.terms]
        sources.append(learner.prepared_rows(learner.received.rows()))
        added = [rows for rows in sources if rows is not None and len(rows)]
        own = [learner.tasks.training(u) for u in learner.current]
        if len(own) == 1 or learner.ways.joint == "shuffled":
            return [(learner.current, [*own, *added])]
        return [((u,), [rows]) for u, rows in zip(learner.current, own, strict=True)] + [
            ((), [rows]) for rows in added
        ]

    @property
    def pools(self) -> list[Pool]:
        """The rows of an epoch, made anew when they may have changed."""
        learner = self._learner
        if self._made is None or self._made[0] != learner.rows_version:
            heads = learner.shape.heads
            pools = [
                Pool(Prepared.joined(parts), heads, dict(zip(tasks, map(len, parts), strict=False)))
                for tasks, parts in self.groups()
            ]
            self._made = learner.rows_version, pools
        return self._made[1]

    def count(self) -> int:
        """How many batches `batches` gives."""
        return sum(pool.batches(self._learner.batch) for pool in self.pools)

    def batches(self) -> Iterator[Batch]:
        """The batches of one pass, of several pools in turn."""
        learner = self._learner
        streams = [pool.shuffled(learner.batch, learner.shuffle) for pool in self.pools]
        for turn in zip_longest(*streams):
            yield from (batch for batch in turn if batch is not None)

    # --- a step -----------------------------------------------------------------------------------

    def steps(self, batch: Batch) -> Iterator[Batch]:
        """The steps that a batch is used for, each with the batch as it sees it."""
        yield batch

    def terms(self) -> Sequence[Term]:
        """The terms that are part of the loss now."""
        return self._learner.terms

    def active(self, present: Mask) -> Mask:
        """Which trainable segments took part in the loss: all but the heads that no row uses."""
        self._always[self._heads] = present
        return self._always

    def work(self, batch: Batch) -> AbstractContextManager[None]:
        """Counts the operations of a forward and a backward pass that is made inside."""
        learner = self._learner
        unseen = 0
        if batch.competing is None:
            unseen = learner.objective.unseen_flops(learner.model, len(batch), learner.device)
        drawn = sum(len(rows) for draws in batch.drawn.values() for rows in draws)
        marks = (self.mark(), *[term.mark for term in self.terms()])
        key = ("step", learner.task, len(batch), drawn, learner.steps.encoding.rows, marks)
        return self.counted(key, unseen)

    def counted(self, key: Hashable, unseen: int = 0) -> AbstractContextManager[None]:
        """Counts the operations of what is done inside, which costs the same for every use of `key`."""
        return self._learner.meter.work(key, unseen)

    def mark(self) -> Hashable:
        """Changes whenever a step on so many rows of a task begins to cost something else."""
        return None

    # --- evaluation -------------------------------------------------------------------------------

    def measured(self, tasks: Iterable[int]) -> Scores:
        """All measures of the objective on the test rows of these tasks, in eval mode."""
        learner = self._learner
        with self.standing():
            learner.model.eval()
            with torch.inference_mode():
                answer = self.answering()
                found = [self.scores(u, partial(self._test, u, answer)) for u in tasks]
        columns = zip(*found, strict=True)
        return {one.name: np.array(column) for one, column in zip(learner.measures, columns, strict=True)}

    def _test(self, u: int, answer: Answering | None) -> tuple[float, ...]:
        learner = self._learner
        work = self.test_work(u, len(learner.tasks.test(u)), answer is not None)
        return learner.scores(u, work, answer or learner.model.outputs_of)

    def answering(self) -> Answering | None:
        """What answers in the tests of an evaluation: the first term that does so; None: the heads."""
        found = (term.answering() for term in self._learner.terms)
        return next((one for one in found if one is not None), None)

    def standing(self) -> AbstractContextManager[None]:
        """Inside, the model is what answers for the tasks now."""
        return nullcontext()

    def scores(self, u: int, measure: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        """All measures on task u, which `measure` finds."""
        return measure()

    def test_work(self, u: int, rows: int, answered: bool) -> AbstractContextManager[None]:
        """Counts the operations of a pass over so many test rows of task u that is made inside.

        `answered`: by a term, which costs something else than the heads.
        """
        return self.counted(("test", rows, answered, self.mark()))
