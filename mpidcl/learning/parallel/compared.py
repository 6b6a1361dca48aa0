"""The gradients of one step after they were compared: which can be used, and what others are told of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpidcl.errors import CombineError
from mpidcl.learning.combiners.base import MEMORY, Combiner, Gradients, Rule, rule_of
from mpidcl.learning.parallel.parts import StepRows
from mpidcl.network.requests import Compared

Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


class StepGradients:
    """The same on all agents: `rows` and `found` are, and nothing else is looked at.

    kept bool [n]: gradients that can be used. tasks [n]: as in `rows`. Rules that it gives are for the rows
    [r] of the step, arrays for its gradients [n].
    """

    def __init__(self, step: int, rows: StepRows, found: Compared) -> None:
        self.step, self._rows, self._found = step, rows, found
        self.tasks, self._compared = rows.tasks, rows.fold(found)
        self._finite, self._absent = _finite(self._compared), _absent(self._compared)
        self.kept: Mask = self._finite & ~self._absent

    def refuse_nan(self) -> None:
        """Raises CombineError for a gradient with NaN or Inf. That of a stream without rows is no error."""
        wrong = self._rows.spread(~self._finite & ~self._absent)
        if not wrong.any():
            return
        worse = wrong & ~_finite(self._found)  # of the parts of one gradient: those that are wrong themselves
        row = int(np.argmax(worse if worse.any() else wrong))
        loss = self._rows.spread(self._compared.facts[:, 0])[row]  # of all parts: one has but a share of it
        raise CombineError(
            f"All gradients should be finite. Found NaN or Inf in that of {_name(self._rows.task_of(row))}"
            f" (agent {self._rows.row_owners[row]}) at step {self.step}; its loss is {loss:g}."
            ' Lower [learning] lr, or set not_finite = "skip" in [learning]'
            " to leave such gradients out."
        )

    @property
    def parts(self) -> int:
        """Rows that the gradient of the memory is made of."""
        return self._rows.parts

    @property
    def edits(self) -> bool:
        """Whether the memory and a task can both be used: else there is nothing to bring together."""
        return self.tasks[0] == MEMORY and bool(self.kept[0]) and bool(self.kept[1:].any())

    @property
    def contributions(self) -> npt.NDArray[np.float32]:
        """To BatchNorm statistics, of every row whose gradient is used [m, b]."""
        used: npt.NDArray[np.float32] = self._found.facts[self._rows.spread(self.kept), 1:]
        return used

    # --- rules for the rows -----------------------------------------------------------------------------

    def combined(self, combiner: Combiner, rng: np.random.Generator) -> tuple[Rule, Doubles | None]:
        """The combiner's rule, and its weights [n] if it is one of weights."""
        chosen = np.flatnonzero(self.kept)
        known = Gradients(
            step=self.step,
            tasks=tuple(self.tasks[place] for place in chosen),
            gram=self._compared.gram[np.ix_(chosen, chosen)],
            losses=self._compared.facts[chosen, 0].astype(np.float64),
            rng=rng,
        )
        rule = rule_of(combiner, known, chosen.tolist(), len(self.tasks))
        return self._rows.rule(rule), None if callable(rule) else rule

    def mean(self) -> Rule:
        """Of all that can be used."""
        return self._rows.rule(self.kept / max(1, int(self.kept.sum())))

    def mean_of_tasks(self) -> Rule:
        """Of all that can be used but the memory's."""
        new = np.array([task != MEMORY for task in self.tasks]) & self.kept
        return self._rows.rule(new / max(1, int(new.sum())))

    def whole_memory(self) -> Rule:
        """The gradient of the memory alone."""
        return self._rows.rule(np.array([float(task == MEMORY) for task in self.tasks]))

    # --- the log ------------------------------------------------------------------------------------------

    def logged(self, weights: Doubles | None, sigma: Doubles | None) -> dict[str, Any]:
        """What a log of steps takes; weights [n], and elastic factors [of those kept], or None."""
        every = None
        if sigma is not None:
            every = np.full(len(self.tasks), np.nan)
            every[self.kept] = sigma
        there = np.flatnonzero(~self._absent)
        return {
            "step": self.step,
            "tasks": [self.tasks[place] for place in there],
            "gram": self._compared.gram[np.ix_(there, there)],
            "weights": None if weights is None else weights[there],
            "sigma": None if every is None else every[there],
            "losses": self._compared.facts[there, 0].astype(np.float64),
            "skipped": int((~self.kept[there]).sum()),
        }


def _finite(compared: Compared) -> Mask:
    found: Mask = np.isfinite(compared.facts).all(1) & np.isfinite(compared.gram.diagonal())
    return found


def _absent(compared: Compared) -> Mask:
    """Those of streams that have ended early: zeros, and no loss."""
    found: Mask = np.isnan(compared.facts[:, 0]) & (compared.gram.diagonal() == 0)
    return found


def _name(task: int) -> str:
    return "the memory" if task == MEMORY else f"task {task}"
