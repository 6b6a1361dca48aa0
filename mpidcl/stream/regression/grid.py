"""A square grid of cells, dealt to regions: the coordinates of cells, and fields out of models."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.stream.regression.options import Coordinates, Regions
from mpidcl.stream.regression.task import Doubles

FEATURES = 6
"""(1, u, v, u^2, v^2, uv)."""
LEAST = 3
"""Rows and columns of a region in which a quadratic is told from a line."""


class Grid(NamedTuple):
    """Cells row by row: `x` [side^2, FEATURES], and of which region each is [side^2]."""

    side: int
    x: Doubles
    region: NDArray[np.int64]

    def cells(self, region: int) -> NDArray[np.int64]:
        """Numbers of the cells of a region."""
        return np.flatnonzero(self.region == region)

    def estimated(self, models: Doubles) -> Doubles:
        """The field [side, side] that models [regions, FEATURES] say, each in its own region."""
        said: Doubles = np.einsum("cf,cf->c", self.x, models[self.region])
        return said.reshape(self.side, self.side)

    def fitted(self, field: Doubles) -> Doubles:
        """The models [regions, FEATURES] nearest to a field [side, side] by least squares.

        Where several are as near, as in a region of two rows, the one of the smallest norm.
        """
        parts = [self.cells(number) for number in range(int(self.region.max()) + 1)]
        return np.stack([np.linalg.lstsq(self.x[one], field.ravel()[one], rcond=None)[0] for one in parts])


def make_grid(side: int, regions: Regions, number: int, coordinates: Coordinates) -> Grid:
    """A grid of `number` regions: quadrants (4), or stripes of rows that differ by one row at most."""
    rows = _parts(side, 2 if regions == "quadrants" else number)
    columns = _parts(side, 2 if regions == "quadrants" else 1)
    region = len(set(columns.tolist())) * rows[:, None] + columns
    lengths = (rows, columns) if coordinates == "region" else (np.zeros(side, np.int64),) * 2
    v, u = np.meshgrid(*map(_across, lengths), indexing="ij")
    x = np.stack([np.ones_like(u), u, v, u * u, v * v, u * v], -1)
    return Grid(side, x.reshape(-1, FEATURES), region.ravel())


def _parts(side: int, number: int) -> NDArray[np.int64]:
    """Part of each of `side` lines, dealt evenly to `number` parts [side]."""
    return np.repeat(np.arange(number), [len(part) for part in np.array_split(np.arange(side), number)])


def _across(parts: NDArray[np.int64]) -> Doubles:
    """The middle of each line, from -1 to 1 across its part [side]."""
    sizes = np.bincount(parts)
    return np.concatenate([(2 * np.arange(size) + 1) / size - 1 for size in sizes])
