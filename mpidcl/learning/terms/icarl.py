"""iCaRL: old outputs stay, and the class with the nearest mean is the answer (Rebuffi et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.flops import FlopMeter
from mpidcl.learning.nearest_mean import nearest_mean
from mpidcl.learning.terms.base import Answering, Term, TermHost
from mpidcl.learning.terms.rehearsing import joining
from mpidcl.learning.terms.rules import check_one_encoder, exemplar_notes, exemplar_problems
from mpidcl.model.base import Model
from mpidcl.model.build import build_model

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

Mask = npt.NDArray[np.bool_]


class Host(TermHost, Protocol):
    """A learner that counts operations, and whose model can be made again."""

    experiment: Experiment
    meter: FlopMeter


class ICaRL(Term):
    """Incremental classifier and representation learning (arXiv 1611.07725). All remembered rows join.

    In the loss of "one-vs-rest" the targets of past classes are not the labels but sigmoid(old outputs): of
    the model as it was when the task began, in eval mode, for each row as it is learned (algorithm 3). Past
    classes are those of tasks that have ended, but for those in training. Tests are answered by the nearest
    mean of the rows in memory (algorithm 1), or by the heads while it is empty.
    """

    class Options(Options):
        """How class means are found."""

        mirrored: bool = Field(
            False, description="class means are those of the images in memory and of their mirror images"
        )

    options: Options
    host: Host
    name = "icarl"
    needs = ("meter", "experiment")

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """Another loss; agents of one model, whose answers would differ; rows that would join twice."""
        yield from exemplar_problems(use)

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Rows in memory that are not those of the paper; tests that know no class of the task."""
        yield from exemplar_notes(use)

    def __init__(self, options: Options, host: Host) -> None:
        super().__init__(options, host)
        check_one_encoder(host, "icarl")
        size = tuple(host.model.shape.input_shape)
        if options.mirrored and (host.model.prepares or len(size) not in (2, 3)):
            raise ExperimentError(
                'mirrored should be false in the term "icarl" for rows that are no images [c, h, w] or'
                " [h, w], and with a model whose frozen input stage leaves none. Found true, with rows"
                f" {list(size)} and {type(host.model).__name__}."
            )
        self._past: Mask | None = None
        self._old: Model | None = None

    def rows(self, task: int) -> Prepared | None:
        return joining(self.host)

    # --- the loss ---------------------------------------------------------------------------------

    def before_task(self, task: int) -> None:
        seen = self.host.tasks
        past = seen.classes(seen.ended) & ~seen.classes(self.host.current)
        if past.any():
            self._keep(past, self.host.parameters.state())

    def after_task(self, task: int) -> None:
        self._past = None

    def _keep(self, past: Mask, weights: State) -> None:
        if self._old is None:
            host = self.host
            self._old = build_model(host.experiment, host.agent, host.model.shape, host.parameters.device)
            self._old.eval()
        self._old.flat.load(weights)
        self._past = past

    def loss(self, batch: Batch) -> Tensor | None:
        if self._past is None or self._old is None:
            return None
        assert batch.encoded is not None and batch.logits is not None
        heads, found = self.host.model.heads, batch.logits.new_zeros(())
        with torch.no_grad():
            old = self._old.encode(batch.z)
        for head in np.flatnonzero(self._past.any(1)).tolist():
            batch.present[head] = True
            with torch.no_grad():
                wanted = self._old.heads.one(old, head).sigmoid()
            now = batch.logits if len(heads.block) == 1 else heads.one(batch.encoded, head)
            own = functional.one_hot(batch.y, now.shape[1])
            # What other targets add to the loss of rows of this head; the whole loss of all others.
            change = torch.where(
                (batch.heads == head).unsqueeze(1),
                (own - wanted) * now,
                functional.binary_cross_entropy_with_logits(now, wanted, reduction="none"),
            )
            past = torch.from_numpy(self._past[head]).to(now.device)
            found = found + (change * past).sum() / now.numel()
        return found

    # --- the answers ------------------------------------------------------------------------------

    def answering(self) -> Answering | None:
        rows = self.host.remembered()
        if not len(rows):
            return None
        with self.host.meter.work(("exemplars", len(rows))):
            return nearest_mean(self.host.model, rows, self.options.mirrored)

    # --- checkpoint -------------------------------------------------------------------------------

    def state(self) -> State:
        if self._past is None or self._old is None:
            return {}
        return {"past": self._past, "old": self._old.flat.state()}

    def load(self, state: State) -> None:
        self._past = None
        if state:
            self._keep(np.asarray(state["past"], dtype=np.bool_), state["old"])
