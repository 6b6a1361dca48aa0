"""Replay: rows of old tasks from the agent's memory learn along with the current ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.terms.base import Draw, Term
from mpidcl.learning.terms.rehearsing import draw_problems, joining


class Replay(Term):
    """Rehearsal of remembered rows.

    "joined" (DCL's monolithic replay): all remembered rows of other tasks join the epoch's pool and are
    shuffled with the current rows. "separate": each step adds `weight` times the mean loss of `rows_per_step`
    remembered rows, drawn without replacement. "batch" (experience replay, ER): these rows become part of the
    step's batch, whose mean loss is that of all (Chaudhry et al. 2019, arXiv 1902.10486, algorithm 1).
    """

    class Options(Options):
        """How remembered rows take part."""

        mix: Literal["joined", "separate", "batch"] = Field(
            "joined", description="in the pool, as a loss of their own, or in the batch of each step"
        )
        weight: float = Field(1.0, ge=0, description="mix = separate: weight of its loss")
        rows_per_step: int | None = Field(
            None, ge=1, description="rows drawn for a step, where they are; by default learning.batch"
        )

    options: Options
    name = "replay"

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A draw that is larger than the memory can ever be; a weight of a loss that there is not."""
        yield from super().problems(use)
        if use.options.mix != "separate" and use.options.weight != 1:
            yield Problem(
                (*use.key, "weight"),
                f'should be left out with mix = "{use.options.mix}", where remembered rows are in the batch'
                f' and count as all others. Found {use.options.weight:g}. It is for mix = "separate"',
            )
        if use.options.mix != "joined":
            yield from draw_problems(use, use.options.rows_per_step)

    def rows(self, task: int) -> Prepared | None:
        return joining(self.host) if self.options.mix == "joined" else None

    @classmethod
    def drawing(cls, options: object) -> bool:
        return not isinstance(options, cls.Options) or options.mix != "joined"

    def draws(self) -> tuple[Draw, ...]:
        if self.options.mix == "joined":
            return ()
        joined = self.options.mix == "batch"
        return (Draw(self.options.rows_per_step or self.host.batch, joined, quick=joined),)

    def loss(self, batch: Batch) -> Tensor | None:
        drawn = batch.drawn.get(self)
        if not drawn or self.options.mix == "batch":
            return None
        return self.options.weight * self.host.objective.loss_of(self.host.outputs(drawn[0]), drawn[0].y)

    def slopes(self, batch: Batch) -> Sequence[Tensor]:
        """None where it has no loss of its own; separate rows go through the model in a pass of their own."""
        return ()
