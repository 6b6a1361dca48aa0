"""Learning without forgetting: old classes keep their outputs on new rows (Li and Hoiem 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.flops import FlopMeter
from mpidcl.learning.optimizers import Optimizer
from mpidcl.learning.terms.base import Term, TermHost
from mpidcl.learning.terms.rules import check_one_encoder, label_problems, silent_notes
from mpidcl.model.flat import writable
from mpidcl.randomness import numpy_generator

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]
HIDDEN = -1e30
"""Finite: infinity times a share of zero would be no number."""


class Host(TermHost, Protocol):
    """A learner that counts operations, and whose step size is known."""

    experiment: Experiment
    optimizer: Optimizer
    meter: FlopMeter


class Old(NamedTuple):
    """What the model of before answered: shares of the past classes of a head [rows of the task, classes].

    `hide [classes]`: 0 for a past class, else so little that nothing is left of its share.
    """

    head: int
    hide: Tensor
    shares: Tensor


class LwF(Term):
    """alpha * sum over heads of the mean over rows of -sum_c q_old[c] log q[c], over past classes c.

    q = p^(1/T) / sum p^(1/T), where p is the softmax over the past classes of a head: that is the softmax of
    outputs / T. q_old is found for the training rows of a task when it begins, in eval mode; rows that come
    from elsewhere have none. Silent before there is a past class (Li and Hoiem 2016, arXiv 1606.09282,
    equation 3). Before that the outputs of new classes alone learn for some passes, with plain SGD.
    """

    class Options(Options):
        """Strength of the memory of old outputs."""

        alpha: float = Field(1.0, ge=0, description="weight of the term, lambda_o of the paper")
        temperature: float = Field(2.0, gt=0, le=1000, description="T: higher ones show more of small shares")
        warm_up: int | None = Field(
            None,
            ge=0,
            le=10**6,
            description="passes of the outputs of new classes alone, at first; by default learning.epochs",
        )

    options: Options
    host: Host
    name = "lwf"
    reads_memory = False
    needs = ("meter", "experiment", "optimizer")

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """An objective without labels; agents of one model that would warm it up apart."""
        yield from label_problems(use, "lwf", "its outputs are no shares of classes")
        if use.mine.learning.one_model and use.options.warm_up != 0:
            yield Problem(
                use.key,
                "should have warm_up = 0 with learning.one_model = true: each agent would warm up new outputs"
                " with its own rows, and their models would differ. Found warm-up passes",
            )

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """It never acts."""
        yield from silent_notes(use, "lwf")

    def __init__(self, options: Options, host: Host) -> None:
        super().__init__(options, host)
        self._task, self._old = -1, tuple[Old, ...]()
        check_one_encoder(host, "lwf")

    # --- a task begins ----------------------------------------------------------------------------

    def before_task(self, task: int) -> None:
        seen = self.host.tasks
        past, self._task = seen.classes(seen.ended), task
        self._old = ()
        if not past.any():
            return
        rows, passes = seen.training(task), self._passes()
        mine = seen.classes((task,)) & ~past
        # A row and an output take a product forward and one for the gradient, of two operations a weight.
        unseen = 4 * passes * len(rows) * int(mine.sum()) * self.host.model.heads.block.shape[2]
        with torch.no_grad():
            with self.host.meter.work(("old outputs", task, len(rows)), unseen):
                encoded = self._encoded(rows)
                known = np.flatnonzero(past.any(1)).tolist()
                self._old = tuple(self._answers(encoded, head, past[head]) for head in known)
            for head in np.flatnonzero(mine.any(1)).tolist():
                self._warm_up(encoded, rows, head, mine[head], passes)

    def _passes(self) -> int:
        chosen = self.options.warm_up
        return self.host.experiment.learning.epochs if chosen is None else chosen

    def _encoded(self, rows: Prepared) -> Tensor:
        """Encodings [n, width] in eval mode."""
        model = self.host.model
        model.eval()
        return torch.cat([model.encode(z) for z in torch.split(rows.z, model.rows_at_once)])

    def _answers(self, encoded: Tensor, head: int, past: Mask) -> Old:
        hide = torch.from_numpy(np.where(past, 0.0, HIDDEN).astype(np.float32)).to(encoded.device)
        outputs = self.host.model.heads.one(encoded, head)
        return Old(head, hide, self._scaled(outputs, hide).softmax(1))

    def _scaled(self, outputs: Tensor, hide: Tensor) -> Tensor:
        return torch.add(hide, outputs, alpha=1 / self.options.temperature)

    def _warm_up(self, encoded: Tensor, rows: Prepared, head: int, new: Mask, passes: int) -> None:
        """SGD on the outputs of the new classes [classes] of a head, by the cross-entropy among them."""
        host = self.host
        rng = numpy_generator(host.seed, host.agent, f"lwf warm-up {self._task}")
        classes = torch.from_numpy(np.flatnonzero(new)).to(encoded.device)
        chosen = torch.isin(rows.y, classes)
        x = functional.pad(encoded[chosen], (0, 1), value=1.0)
        y = functional.one_hot(torch.searchsorted(classes, rows.y[chosen]), len(classes)).to(x.dtype)
        block = host.model.heads.block[head].index_select(0, classes)
        for _ in range(passes):
            order = torch.from_numpy(rng.permutation(len(x))).to(x.device)
            parts = (torch.split(one.index_select(0, order), host.batch) for one in (x, y))
            for own, wanted in zip(*parts, strict=True):
                slope = torch.mm(own, block.t()).softmax(1).sub_(wanted)
                block.addmm_(slope.t(), own, alpha=-host.optimizer.lr / len(own))
        host.model.heads.block[head, classes] = block

    # --- a step -----------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> Tensor | None:
        if not self._old or batch.pool is None or batch.index is None:
            return None
        for task, places, numbers in batch.pool.by_task(batch.index):
            if task == self._task:
                return self._loss(batch, places, numbers)
        return None

    def _loss(self, batch: Batch, places: Index, numbers: Index) -> Tensor:
        """Of the rows at `places` of a batch, which are rows `numbers` of the task."""
        heads, encoded = self.host.model.heads, batch.encoded
        assert encoded is not None and batch.logits is not None
        chosen = torch.from_numpy(numbers).to(encoded.device)
        parts = []
        for old in self._old:
            batch.present[old.head] = True
            outputs = batch.logits if len(heads.block) == 1 else heads.one(encoded, old.head)
            if len(places) < len(outputs):
                outputs = outputs.index_select(0, torch.from_numpy(places).to(encoded.device))
            shares = old.shares.index_select(0, chosen)
            parts.append(functional.cross_entropy(self._scaled(outputs, old.hide), shares))
        return self.options.alpha * (parts[0] if len(parts) == 1 else torch.stack(parts).sum())

    def after_task(self, task: int) -> None:
        self._old = ()

    # --- checkpoint -------------------------------------------------------------------------------

    def state(self) -> State:
        old = {
            str(one.head): {"hide": one.hide.cpu().numpy(), "shares": one.shares.cpu().numpy()}
            for one in self._old
        }
        return {"task": self._task, "old": old}

    def load(self, state: State) -> None:
        self._task, device = int(state["task"]), self.host.parameters.device
        self._old = tuple(
            Old(int(head), *(writable(kept[name]).to(device, copy=True) for name in ("hide", "shares")))
            for head, kept in state["old"].items()
        )
