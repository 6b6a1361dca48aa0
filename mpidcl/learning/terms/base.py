"""A term: one summand of the loss, or a source of more rows for the epoch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Part
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.objectives.base import Objective
from mpidcl.learning.seen import SeenTasks
from mpidcl.memory.buffer import Column
from mpidcl.model.base import Model
from mpidcl.model.flat import FlatParameters
from mpidcl.record.tables import Table, Tables

Floats = NDArray[np.float32]
Answering = Callable[[Tensor, int], Tensor]
"""Outputs [n, outputs of a head] of encodings [n, width] for a head, such as `Heads.one`."""


class TermHost(Protocol):
    """What a term may ask of the learner whose loss it is part of."""

    seed: int
    agent: int
    batch: int
    """Rows of an optimiser step, at most."""
    model: Model
    parameters: FlatParameters
    objective: Objective
    tasks: SeenTasks
    """The tasks begun: which have ended, their classes, the training rows of those in training."""

    @property
    def current(self) -> tuple[int, ...]:
        """Tasks in training."""
        ...

    def remembered(self, without: tuple[int, ...] = ()) -> Prepared:
        """Rows of the memory, those of the tasks `without` left out."""
        ...

    def outputs(self, rows: Prepared) -> Tensor:
        """What the model answers to rows, each through its own head [n, outputs of a head]."""
        ...


HOST: tuple[str, ...] = ("seed", "agent", "batch", "model", "parameters", "objective")
HOST += ("tasks", "current", "remembered", "outputs")
"""The members of a `TermHost`."""


class Draw(NamedTuple):
    """So many rows from the memory for each step, all different; fewer when it holds fewer.

    `joined`: they become part of the batch, behind its own rows, so that its mean loss is that of all.
    `beside`: the term asks for their outputs in `loss`, so they go through the model in one pass with the
    batch where that changes nothing: in a model without batch statistics. `quick`: they come in no random
    order, and at a cost that does not grow with the memory. `aside`: they are no part of the loss, so their
    heads take no step; a term that lets them says so in `batch.present`.
    """

    rows: int
    joined: bool = False
    beside: bool = False
    quick: bool = False
    aside: bool = False


class Term(Part):
    """Base of all terms: does nothing. A term is made once per learner and told what happens there.

    `host` is the learner, of which a term uses the members of `TermHost`, and those that it `needs` beside.
    """

    room = "term"

    name: ClassVar[str] = "term"
    turn: ClassVar[int] = 0
    """When `on_gradient` is called, low ones first, else in the order of the file: 0 adds to the gradient, 1
    projects all that was added, 2 comes after that."""
    mark: Hashable = None
    """Changes whenever its loss begins to cost something else on so many rows of a task."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Members of a learner beside those of `TermHost`: a learner without them is refused at the start."""

    def __init__(self, options: Options, host: TermHost) -> None:
        self.options, self.host = options, host

    # --- rows -------------------------------------------------------------------------------------

    def rows(self, task: int) -> Prepared | None:
        """Rows that join the pool of an epoch of `task`; asked again when the pool may have changed."""
        return None

    @classmethod
    def drawing(cls, options: object) -> bool:
        """Whether a term with these options draws rows at each step, as far as is known before it is made."""
        return cls.draws is not Term.draws

    def draws(self) -> tuple[Draw, ...]:
        """What is drawn for it at each step, fixed when the term is made.

        It comes in `batch.drawn[self]`, in this order; nothing comes from an empty memory.
        """
        return ()

    def columns(self) -> tuple[Column, ...]:
        """What the memory keeps of each row beside x and y, such as its logits; fixed when it is made."""
        return ()

    def values(self, batch: Batch) -> Mapping[str, Tensor]:
        """The values [n, ...] of its columns for the rows of a batch that was encoded."""
        return {}

    # --- a step -----------------------------------------------------------------------------------

    def competing(self, batch: Batch) -> Tensor | None:
        """Which outputs of each row of the batch its loss looks at, bool [n, outputs of a head]; None: all.

        For objectives that know classes. The others count as if they were very unlikely.
        """
        return None

    def loss(self, batch: Batch) -> Tensor | None:
        """What is added to the batch's mean loss: a scalar tensor, or None for nothing.

        A term that uses other heads than the batch and its draws says so in `batch.present`.
        """
        return None

    def slopes(self, batch: Batch) -> Sequence[Tensor]:
        """The gradients of `loss` by the outputs [m, outputs of a head] of its draws `beside` the batch.

        Stands beside a `loss` that depends on outputs of its draws alone, if on anything, and gives the same
        bits: the gradients of dense nets then need no autograd. A class with a `loss` of its own and without
        it is taken through autograd.
        """
        return ()

    def on_gradient(self, grad: Tensor, batch: Batch) -> None:
        """May change the gradient of the whole loss `grad [p]`, in place, before the optimiser sees it."""

    def before_task(self, task: int) -> None:
        """Called when `task` has begun, before its first step; of joint tasks at the last one alone."""

    def after_step(self) -> None:
        """Called after each optimiser step."""

    def after_task(self, task: int) -> None:
        """Called when `task` has ended, joint tasks all at the end of the last one."""

    def replaced(self, places: slice | Tensor) -> None:
        """Called when parameters at these places have got weights that are none of theirs, by no step.

        What a term knows of the old ones, it forgets: it would pull the new ones there.
        """

    def take_teachers(self, models: Mapping[int, Mapping[str, Floats]]) -> None:
        """What neighbours have sent to teach: floats of each kind of segments that travels, by agent.

        Arrays must be copied if they are kept.
        """

    def take_predictions(self, rows: Prepared, outputs: Tensor) -> None:
        """What neighbours answer to rows of this agent, outputs [n, outputs of a head]; y means nothing."""

    # --- a test -----------------------------------------------------------------------------------

    def answering(self) -> Answering | None:
        """What answers in the tests of an evaluation, in place of the heads; None: the heads.

        Asked once for each evaluation, in eval mode and without gradients; of several terms the first that
        has one. Nothing that is learned may depend on it, nor the operations of an answer on anything but the
        number of rows. A learner whose tasks have structures of their own does not ask.
        """
        return None

    # --- record and checkpoint --------------------------------------------------------------------

    def tables(self) -> Tables:
        """What it adds to the record (`record.tables`); also what a resumed run gets back."""
        return {}

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the tables of a checkpoint, which hold those of other parts, too."""

    def state(self) -> State:
        """Everything that a resumed run needs."""
        return {}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""


T = TypeVar("T", bound=Term)


def make_term(kind: type[T], options: Options, host: TermHost) -> T:
    """A term of a learner. Raises ExperimentError when the learner lacks what the term needs."""
    there = set(dir(host))
    lacking = [member for member in (*HOST, *kind.needs) if member not in there]
    if lacking:
        raise ExperimentError(
            f'The term "{kind.name}" ({kind.__name__}) should have a learner with `{lacking[0]}`. Found'
            f" {type(host).__name__}, which has none. Take it out of [learning] terms, or choose another"
            " learning.kind."
        )
    return kind(options, host)


def scalar(term: Term, found: Tensor) -> Tensor:
    """The loss of a term. Raises ExperimentError where it is no scalar."""
    if found.dim() == 0:
        return found
    raise ExperimentError(
        f'`loss` of the term "{term.name}" ({type(term).__name__}) should be a scalar tensor or None. Found'
        f" shape {list(found.shape)}: take its mean or sum."
    )
