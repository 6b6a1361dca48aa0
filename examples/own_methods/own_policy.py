"""A memory policy of your own: keep the latest rows and forget the oldest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpidcl.memory.policies import REFUSED, Policy


class Latest(Policy):
    """A ring: row number n lies in slot n mod capacity."""

    def late(
        self, arrival: npt.NDArray[np.int64], capacity: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Slots [n] for rows that meet a full buffer; `arrival [n]` counts the rows before each."""
        return arrival % capacity if capacity else np.full(len(arrival), REFUSED)
