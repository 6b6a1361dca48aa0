"""Which gradients a step has, and whose: the memory's may come in parts, one from each agent that keeps rows.

A combiner knows of one gradient of the memory. Where its batch was divided between agents, their partial
gradients are compared and combined as rows of their own. They need not meet to be added up: an inner product
with the memory's gradient is the sum of those with its parts, and its weight is the weight of every part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidcl.learning.combiners.base import MEMORY, Rule
from mpidcl.network.requests import Compared

Share = tuple[int, int]
"""An agent, and how many rows of a batch of the memory it gives."""


@dataclass(frozen=True, slots=True)
class StepRows:
    """The `tasks [n]` of a step's gradients, MEMORY first if there is one, and whose rows they are made of.

    shares: the agents that give the memory's gradient, with their numbers of rows, at least one each.
    owners: those of all other gradients, in order. Rows lie in the same order, parts of the memory first.
    """

    tasks: tuple[int, ...]
    shares: tuple[Share, ...]
    owners: tuple[int, ...]

    @property
    def row_owners(self) -> tuple[int, ...]:
        """The agent of each row [r]."""
        return tuple(agent for agent, _ in self.shares) + self.owners

    @property
    def parts(self) -> int:
        """Rows that the gradient of the memory is made of; 0: the step has none of the memory."""
        return len(self.shares)

    def task_of(self, row: int) -> int:
        """The task of a row."""
        return MEMORY if row < self.parts else self.tasks[row - self.parts + bool(self.parts)]

    def fold(self, compared: Compared) -> Compared:
        """What `compared` says of the rows [r], for the gradients [n]: sums over parts of the memory.

        The facts of a part are its share of the memory's; of those beside the loss the sums mean nothing.
        """
        if self.parts < 2:
            return compared
        starts = self._starts
        with np.errstate(invalid="ignore"):  # Inf - Inf is NaN, and found as such
            gram = np.add.reduceat(np.add.reduceat(compared.gram, starts, axis=0), starts, axis=1)
            return Compared(gram, np.add.reduceat(compared.facts, starts, axis=0))

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values [n] of the gradients, for the rows [r]."""
        return values if self.parts < 2 else np.repeat(values, self._counts)

    def rule(self, rule: Rule) -> Rule:
        """A rule for the gradients, for the rows."""
        if not callable(rule):
            spread: npt.NDArray[np.float64] = self.spread(rule)
            return spread
        if self.parts < 2:
            return rule
        return lambda slices, start: rule(self._summed(slices), start)

    def _summed(self, slices: Sequence[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        memory = slices[0].copy()
        with np.errstate(invalid="ignore"):
            for part in slices[1 : self.parts]:
                memory += part
        return [memory, *slices[self.parts :]]

    @property
    def _counts(self) -> npt.NDArray[np.int64]:
        counts = np.ones(len(self.tasks), dtype=np.int64)
        counts[0] = self.parts
        return counts

    @property
    def _starts(self) -> npt.NDArray[np.int64]:
        starts: npt.NDArray[np.int64] = np.cumsum(self._counts) - self._counts
        return starts


def shares_of(held: Sequence[int], rows: int, rng: np.random.Generator) -> tuple[Share, ...]:
    """How many of `rows` rows each agent gives when they are drawn at random from all that agents hold.

    held [agents]: rows of each. Draws without replacement: the counts are hypergeometric. Agents without a
    row are left out.
    """
    counts = rng.multivariate_hypergeometric(np.asarray(held, dtype=np.int64), min(rows, sum(held)))
    return tuple((agent, count) for agent, count in enumerate(counts.tolist()) if count)
