"""GradDrop: each coordinate takes the gradients of one sign (Chen et al. 2020, arXiv 2010.06808)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.network.requests import Mix

Floats = NDArray[np.float32]


class GradDrop(Combiner):
    """Coordinate by coordinate: the sum of the positive g_i with probability P, else of the negative ones.

    P = (1 + sum g / sum |g|) / 2 (algorithm 1 of the paper). With `leak` the others count that much, too. It
    needs the rows themselves and has no weights. What is drawn depends on step and coordinate alone, so all
    ranks draw the same.
    """

    class Options(Options):
        """What the other sign keeps."""

        leak: float = Field(
            0.0, ge=0, le=1, description="share of the gradients of the other sign that stays"
        )

    options: Options
    name = "graddrop"

    def weights(self, gradients: Gradients) -> Doubles:
        raise TypeError("graddrop should be asked for its rule per coordinate, `mix`: it has no weights.")

    def mix(self, gradients: Gradients) -> Mix:
        key = gradients.rng.integers(0, 2**63, 2).astype(np.uint64)

        def keep_one_sign(rows: Sequence[Floats], start: int) -> Floats:
            return one_sign(rows, uniform(key, start, len(rows[0])), self.options.leak)

        return keep_one_sign


def uniform(key: Any, start: int, count: int) -> NDArray[np.float64]:
    """`count` numbers in 0 .. 1 for the coordinates from `start` on, from a generator that counts."""
    # 2^64 numbers lie between the counters of two starts: blocks never share any.
    return np.random.Generator(np.random.Philox(key=key, counter=start << 64)).random(count)


def one_sign(rows: Sequence[Floats], chance: NDArray[np.float64], leak: float) -> Floats:
    """Sum of the parts of `rows` (n times [m]) whose sign `chance` [m] chooses, plus leak times the rest."""
    positive, negative = np.zeros(len(chance)), np.zeros(len(chance))
    for row in rows:
        positive += np.maximum(row, 0)
        negative += np.minimum(row, 0)
    size = positive - negative
    # P > U, times 2 sum |g|; coordinates of zeros stay zero either way.
    up = positive > chance * size
    chosen = np.where(up, positive, negative)
    if leak:
        chosen += leak * np.where(up, negative, positive)
    return np.asarray(chosen, rows[0].dtype)
