"""What every step of parallel learning did to every task: gradients compared, weights, losses, edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidcl.record.tables import Table

Doubles = NDArray[np.float64]


class StepLog:
    """One row per optimiser step, in slots: slot 0 is the memory, slot 1 + t is task t; S = tasks + 1.

    `present [steps, S]` says which gradients there were; everything else is NaN where there was none.
    `gram [steps, S, S]`: inner products of the gradients. `weights`, `sigma` (elastic factors), `loss`
    `[steps, S]`. `length [steps]`: squared length of the direction d. `slack [steps]`:
    min_i (G w)_i - sigma_i |d|^2, without the last term where there are no elastic factors: the
    smallest decrease, to first order, of any loss beyond what it was promised; negative: one was not kept.
    `skipped [steps]`: gradients left out because they were not finite. `moved_mean`, `moved_max [steps]`:
    distances (L2, pixels 0..1) by which rows of the memory were edited. `wall_s [steps]`: seconds.
    `count`: steps so far.
    """

    def __init__(self, tasks: int, steps: int) -> None:
        slots = tasks + 1
        self.tasks, self.steps, self.count = tasks, steps, 0
        self.present = np.zeros((steps, slots), bool)
        self.gram = np.full((steps, slots, slots), np.nan)
        self.weights = np.full((steps, slots), np.nan)
        self.sigma = np.full((steps, slots), np.nan)
        self.loss = np.full((steps, slots), np.nan)
        self.slack = np.full(steps, np.nan)
        self.length = np.full(steps, np.nan)
        self.skipped = np.zeros(steps, np.int64)
        self.moved_mean = np.full(steps, np.nan)
        self.moved_max = np.full(steps, np.nan)
        self.wall_s = np.full(steps, np.nan)

    def add(
        self,
        step: int,
        tasks: Sequence[int],
        gram: Doubles,
        weights: Doubles | None,
        sigma: Doubles | None,
        losses: Doubles,
        skipped: int = 0,
        moved: NDArray[np.floating[Any]] | None = None,
        wall_s: float = np.nan,
    ) -> None:
        """One step: `tasks` of its n rows (-1 first for the memory), `gram [n, n]`, the others `[n]`.

        A row whose loss or gradient is not finite is not present: only its loss is kept. `weights` None:
        the combiner has none. `moved`: distances of the edited rows; None: nothing was edited.
        Raises ValueError for a step that was there before, or beyond the last.
        """
        self._check(step)
        slots, gram, losses = np.asarray(tasks, np.int64) + 1, np.asarray(gram), np.asarray(losses)
        self.loss[step, slots] = losses
        self.skipped[step], self.wall_s[step] = skipped, wall_s
        if moved is not None and len(moved):
            self.moved_mean[step], self.moved_max[step] = np.mean(moved, dtype=np.float64), np.max(moved)
        kept = np.isfinite(losses) & np.isfinite(gram.diagonal())
        present, gram = slots[kept], gram[np.ix_(kept, kept)]
        self.present[step, present] = True
        self.gram[step][np.ix_(present, present)] = gram
        if weights is not None:
            self._weigh(
                step, present, gram, np.asarray(weights)[kept], sigma if sigma is None else sigma[kept]
            )
        self.count = step + 1

    def add_moved(self, step: int, mean: float, largest: float) -> None:
        """Distances of the edited rows of a step that was added without them."""
        self.moved_mean[step], self.moved_max[step] = mean, largest

    def _weigh(self, step: int, slots: Any, gram: Doubles, weights: Doubles, sigma: Doubles | None) -> None:
        decrease = gram @ weights
        self.weights[step, slots], self.length[step] = weights, weights @ decrease
        if sigma is not None:
            self.sigma[step, slots] = sigma
            decrease = decrease - sigma * self.length[step]
        self.slack[step] = decrease.min() if len(slots) else np.nan

    def _check(self, step: int) -> None:
        if not self.count <= step < self.steps:
            raise ValueError(
                f"A step of this log should be {self.count} to {self.steps - 1}, steps come in order. "
                f"Found {step}."
            )

    def cosines(self, step: int) -> Doubles:
        """Cosines between the gradients of a step `[S, S]`; NaN where one was absent or zero."""
        return cosines(self.gram[step])

    def table(self) -> Table:
        """A row per step so far (`record.tables`)."""
        return {name: getattr(self, name)[: self.count] for name in COLUMNS}

    def load(self, table: Table) -> None:
        """Puts back what `table` returned. Raises ValueError when that is of other tasks or more steps."""
        count, slots = table["loss"].shape
        if slots != self.tasks + 1 or count > self.steps:
            raise ValueError(
                f"The log of the steps should be of {self.tasks} tasks and at most {self.steps} steps. "
                f"Found one of {slots - 1} tasks and {count} steps."
            )
        fresh = StepLog(self.tasks, self.steps)
        fresh.count = count
        for name in COLUMNS:
            getattr(fresh, name)[:count] = table[name]
        self.__dict__.update(fresh.__dict__)

    @classmethod
    def from_table(cls, table: Table) -> StepLog:
        """The log that `table` came from, up to its last step. Raises KeyError for a column missing."""
        steps, slots = table["loss"].shape
        log = cls(slots - 1, steps)
        log.load(table)
        return log


STEPS = "steps"
"""The table of it."""
COLUMNS = (
    "present", "gram", "weights", "sigma", "loss", "slack", "length", "skipped", "moved_mean", "moved_max",
    "wall_s",
)  # fmt: skip
"""The arrays of a log; all but `wall_s` are the same in every run of one experiment."""


def cosines(gram: Doubles) -> Doubles:
    """Cosines from Gram matrices `[..., n, n]`; NaN where a row has no direction."""
    lengths = np.sqrt(np.diagonal(gram, axis1=-2, axis2=-1))
    found = np.full(gram.shape, np.nan)
    scale = lengths[..., :, None] * lengths[..., None, :]
    np.divide(gram, scale, out=found, where=scale > 0)
    bounded: Doubles = np.clip(found, -1, 1)
    return bounded
