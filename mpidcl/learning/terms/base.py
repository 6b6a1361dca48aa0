"""A term: one summand of the loss, or a source of more rows for the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from mpidcl.experiment.part import Part
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.record.tables import Table, Tables

if TYPE_CHECKING:
    from mpidcl.learning.gradient.learner import GradientLearner


class Term(Part):
    """Base of all terms: does nothing. A term is made once per learner and told what happens there."""

    room = "term"

    def __init__(self, options: Any, learner: GradientLearner) -> None:
        self.options, self.learner = options, learner

    name: ClassVar[str] = "term"
    drawn: Tensor | None = None
    """Heads [n] of the rows that the last `loss` drew by itself, None for none: they are counted, too."""

    def rows(self, task: int) -> Prepared | None:
        """Rows that join the pool of an epoch of `task`; asked again when the pool may have changed."""
        return None

    def loss(self, batch: Batch) -> Tensor | None:
        """What is added to the batch's mean cross-entropy: a scalar tensor, or None for nothing.

        A term that uses other heads than the batch says so in `batch.present`.
        """
        return None

    def after_step(self) -> None:
        """Called after each optimiser step."""

    def after_task(self, task: int) -> None:
        """Called when `task` has ended, joint tasks all at the end of the last one."""

    def tables(self) -> Tables:
        """What it adds to the record (`record.tables`); also what a resumed run gets back."""
        return {}

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the tables of a checkpoint, which hold those of other parts, too."""

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
