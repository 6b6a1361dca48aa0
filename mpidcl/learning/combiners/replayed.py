"""Methods of sequential continual learning: the mean of the active tasks is "new", the memory the second.

In a step without a memory the direction is the mean of the gradients.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import MEMORY, Combiner, Doubles, Gradients
from mpidcl.learning.combiners.shortest import checked_losses


class Replayed(Combiner):
    """Base: d = a new + b memory."""

    def weights(self, gradients: Gradients) -> Doubles:
        new = np.array([task != MEMORY for task in gradients.tasks]) * 1.0
        count = new.sum()
        if count in (0, len(new)):
            return np.full(len(new), 1 / len(new))
        share, memory = self.shares(gradients, new / count, 1 - new)
        return np.asarray(share * new / count + memory * (1 - new))

    @abstractmethod
    def shares(self, gradients: Gradients, new: Doubles, memory: Doubles) -> tuple[float, float]:
        """a and b; new = sum_i new_i g_i and memory = sum_i memory_i g_i, both [n]."""


class ER(Replayed):
    """d = (new + memory) / 2: experience replay (Chaudhry et al. 2019, arXiv 1902.10486)."""

    name = "er"

    def shares(self, gradients: Gradients, new: Doubles, memory: Doubles) -> tuple[float, float]:
        return 0.5, 0.5


class AGEM(Replayed):
    """d = new, less its projection on the memory's gradient where the two disagree.

    Chaudhry et al. 2019, arXiv 1812.00420, equation 11.
    """

    name = "agem"

    def shares(self, gradients: Gradients, new: Doubles, memory: Doubles) -> tuple[float, float]:
        product, square = new @ gradients.gram @ memory, memory @ gradients.gram @ memory
        return 1.0, float(-product / square) if product < 0 < square else 0.0


class MEGA(Replayed):
    """d = new + (L_memory / L_new) memory (Guo et al. 2020, arXiv 1909.11763: MEGA-I).

    Where L_new is at most `epsilon` only the memory learns.
    """

    class Options(Options):
        """When the new tasks count as learned."""

        epsilon: float = Field(0.0, ge=0, description="loss of the new tasks at which only the memory learns")

    options: Options
    name = "mega"

    def shares(self, gradients: Gradients, new: Doubles, memory: Doubles) -> tuple[float, float]:
        losses = checked_losses(gradients, "mega")
        fresh, old = float(new @ losses), float(memory @ losses)
        return (1.0, old / fresh) if fresh > self.options.epsilon else (0.0, 1.0)
