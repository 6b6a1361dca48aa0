"""Where the rows of each class lie in a memory that keeps them in any order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]


class ByClass:
    """Rows by class, of the class numbers [n] of all rows of a memory: `sizes [classes]` of each."""

    def __init__(self, numbers: Positions, classes: int) -> None:
        small = numbers.astype(np.int16) if classes < 2**15 else numbers  # sorted digit by digit: quick
        self._order = np.argsort(small, kind="stable")
        self.sizes = np.bincount(numbers, minlength=classes)
        self._first = np.cumsum(self.sizes) - self.sizes

    def positions(self, classes: Positions, numbers: Positions) -> Positions:
        """Positions [m] in `rows()` of rows that are named by class and number in it [m]."""
        found: Positions = self._order[self._first[classes] + numbers]
        return found
