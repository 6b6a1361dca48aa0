"""What neighbours answer to rows of this agent is learned beside its labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.terms.base import Term, TermHost
from mpidcl.learning.terms.distillation import divergence
from mpidcl.learning.terms.rules import label_problems
from mpidcl.model.flat import writable
from mpidcl.randomness import generator_state, load_generator_state, numpy_generator


class Predictions(Term):
    """weight * tau^2 * mean over rows of KL(softmax(z_neighbours / tau) || softmax(z / tau)).

    Of rows that an exchange of kind "predictions" has named last; at each step some of them are drawn, each
    through its own head. z_neighbours is the mean of the neighbours' outputs. Over the classes of all tasks
    that this agent has begun. Silent before anybody has answered.
    """

    class Options(Options):
        """How much the answers count."""

        weight: float = Field(1.0, ge=0, description="weight of the term")
        temperature: float = Field(2.0, gt=0, le=1000, description="tau: more shows more of small shares")
        rows_per_step: int | None = Field(
            None, ge=1, le=10**9, description="answered rows of each step, drawn; by default learning.batch"
        )

    options: Options
    name = "predictions"
    reads_memory = False

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """An objective without labels; nobody who is ever asked."""
        yield from label_problems(use, "predictions", "its outputs are no shares of classes")
        brought = [kinds.resolve("exchange", one.kind).teaches(one.options) for one in use.mine.exchange]
        if "predictions" not in brought:
            yield Problem(
                use.key,
                'should go with an [[exchange]] of kind "predictions", by which neighbours are asked. Found'
                " none",
            )

    def __init__(self, options: Options, host: TermHost) -> None:
        super().__init__(options, host)
        self._rng = numpy_generator(host.seed, host.agent, "predictions")
        self._rows: Prepared | None = None
        self._outputs = torch.zeros(0)

    def take_predictions(self, rows: Prepared, outputs: Tensor) -> None:
        self._rows, self._outputs, self.mark = rows, outputs, len(rows)

    def loss(self, batch: Batch) -> Tensor | None:
        if self._rows is None or not self.options.weight:
            return None
        count = min(len(self._rows), self.options.rows_per_step or self.host.batch)
        chosen = torch.from_numpy(self._rng.permutation(len(self._rows))[:count]).to(self._outputs.device)
        rows, wanted = self._rows.take(chosen), self._outputs.index_select(0, chosen)
        found = self.host.outputs(rows)
        known = self.host.tasks.classes(range(len(self.host.tasks.tasks)))
        total = torch.zeros((), device=found.device)
        for head in torch.unique(rows.heads).tolist():
            mine = torch.nonzero(rows.heads == head).squeeze(1)
            classes = torch.from_numpy(np.flatnonzero(known[head])).to(found.device)
            batch.present[head] = True
            theirs, own = (one.index_select(0, mine).index_select(1, classes) for one in (wanted, found))
            total = total + divergence(theirs, own, self.options.temperature) * (len(mine) / count)
        return self.options.weight * total

    def state(self) -> State:
        found: State = {"generator": generator_state(self._rng)}
        if self._rows is not None:
            parts = {"z": self._rows.z, "heads": self._rows.heads, "outputs": self._outputs}
            found |= {name: part.cpu().numpy().copy() for name, part in parts.items()}
        return found

    def load(self, state: State) -> None:
        load_generator_state(self._rng, state["generator"])
        self._rows = None
        if "z" in state:
            z, heads, outputs = (
                writable(state[name]).to(self.host.parameters.device) for name in ("z", "heads", "outputs")
            )
            self.take_predictions(Prepared(z, torch.zeros_like(heads), heads), outputs)
