"""What a combiner is given and what it gives: weights from the Gram matrix, or a rule per coordinate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Part
from mpidcl.network.requests import Mix

Doubles = NDArray[np.float64]
MEMORY = -1
"""Stands for the memory where a row would have the number of its task; it is the first row then."""


@dataclass(frozen=True, slots=True)
class Gradients:
    """The gradients of one step, as every agent knows them: the same values everywhere.

    gram [n, n] float64, finite; losses [n] float64, NaN where none was given; tasks: the task of each row,
    MEMORY for the memory. `rng` is made anew for each step and is the same on all agents.
    """

    step: int
    tasks: tuple[int, ...]
    gram: Doubles
    losses: Doubles
    rng: np.random.Generator

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def norms(self) -> Doubles:
        """Lengths of the gradients [n]."""
        lengths: Doubles = np.sqrt(self.gram.diagonal())
        return lengths


Rule = Doubles | Mix
"""What makes a direction: a weight for each gradient [n], or a rule per coordinate."""


class Combiner(Part, ABC):
    """Finds the weight of each gradient; the direction is the sum of weights_i g_i.

    Every agent asks its own combiner, and all must answer alike: nothing but `Gradients` and earlier ones
    may matter. It is asked at each step with at least two gradients.
    """

    room = "combiner"
    name: ClassVar[str] = "combiner"

    def __init__(self, options: Options | None = None) -> None:
        self.options: Options = self.default_options() if options is None else options
        self.sigma: Doubles | None = None

    @abstractmethod
    def weights(self, gradients: Gradients) -> Doubles:
        """Weights [n] float64 of the gradients. Elastic factors are left in `sigma` [n]."""

    def mix(self, gradients: Gradients) -> Mix | None:
        """A rule per coordinate that is used in place of `weights`; None: there is none."""
        return None

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        return


def rule_of(combiner: Combiner, gradients: Gradients, kept: Sequence[int], count: int) -> Rule:
    """The rule for all `count` gradients of a step, of which `gradients` are those at the places `kept`.

    The others have weight 0. A single gradient is taken as it is: no combiner is asked.
    """
    weights = np.zeros(count)
    chosen = list(kept)
    if len(gradients) < 2:
        weights[chosen] = 1.0
        return weights
    mix = combiner.mix(gradients)
    if mix is not None:
        return lambda slices, start: mix([slices[place] for place in chosen], start)
    weights[chosen] = combiner.weights(gradients)
    return weights
