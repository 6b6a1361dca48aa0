"""What a linear model is given of a table: numbers standardised, yes or no as +-1, texts one-hot.

All of it is found in training rows alone, those of all groups together: nothing of a test row is in what is
learned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import DataError
from mpidcl.stream.regression.table.columns import Texts
from mpidcl.stream.regression.table.options import TableOptions
from mpidcl.stream.regression.table.reading import Table
from mpidcl.stream.regression.task import Doubles

Indices = NDArray[np.int64]
FURTHEST = 1e100
"""Deviations from the mean: what is further overflows when it is squared."""


class Feature(ABC):
    """One column or more of x, made of one column of the table. `names`: of each column of x."""

    names: tuple[str, ...]

    @abstractmethod
    def of(self, rows: Indices) -> Doubles:
        """[len(names), len(rows)]."""


@dataclass(frozen=True)
class Standardised(Feature):
    """(value - mean) / deviation."""

    names: tuple[str, ...]
    values: Doubles
    mean: float
    deviation: float

    @classmethod
    def found(cls, name: str, values: Doubles, train: Indices) -> Standardised | None:
        """By the training rows; None where all of them have one value. Raises DataError."""
        seen = values[train]
        if not len(seen) or seen.min() == seen.max():
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(seen.mean()), float(seen.std())
        if not np.isfinite(mean) or not np.isfinite(deviation) or deviation < np.finfo(np.float64).tiny:
            raise DataError(
                f"The column `{name}` should have a finite mean and deviation. Found {mean:g} and"
                f" {deviation:g}. Take other units, or put it into `stream.drop`."
            )
        with np.errstate(over="ignore"):
            furthest = float(np.abs((values - mean) / deviation).max())
        # no training row is further than the root of their number
        if furthest > FURTHEST:
            raise DataError(
                f"The column `{name}` should have no value further than {FURTHEST:g} deviations from the mean"
                f" of the training rows. Found {furthest:g} in a row for tests. Mend it, or put the column"
                " into `stream.drop`."
            )
        return cls((name,), values, mean, deviation)

    def of(self, rows: Indices) -> Doubles:
        """[1, len(rows)]."""
        return ((self.values[rows] - self.mean) / self.deviation)[None]


@dataclass(frozen=True)
class Levels(Feature):
    """1 where a row has the level of a column of x, else 0. What no training row has is 0 in all of them."""

    names: tuple[str, ...]
    levels: tuple[str, ...]
    texts: Texts

    def of(self, rows: Indices) -> Doubles:
        """[len(levels), len(rows)]."""
        place = np.array([self.texts.levels.index(level) for level in self.levels])
        found: Doubles = (self.texts.codes[rows] == place[:, None]).astype(np.float64)
        return found


@dataclass(frozen=True)
class YesNo(Feature):
    """+1 where a row says yes, -1 where it says no, in whatever case; 0 for what no training row says."""

    names: tuple[str, ...]
    texts: Texts

    def of(self, rows: Indices) -> Doubles:
        """[1, len(rows)]."""
        signs = [{"yes": 1.0, "no": -1.0}.get(level.lower(), 0.0) for level in self.texts.levels]
        return np.array(signs)[self.texts.codes[rows]][None]


class Bias(Feature):
    """1."""

    names = ("bias",)

    def of(self, rows: Indices) -> Doubles:
        """[1, len(rows)]."""
        return np.ones((1, len(rows)))


class Encoding:
    """x and y of the rows of a table, as learned from `train`, the training rows of all groups.

    `names` [d]: what each column of x is. Raises DataError where nothing is left to learn from.
    """

    def __init__(self, table: Table, options: TableOptions, train: Indices) -> None:
        self._features = [*_features(table, options, train), *([Bias()] if options.bias else [])]
        self.names = tuple(name for feature in self._features for name in feature.names)
        if not self.names:
            raise DataError("The table has no feature: all columns that are left are constant.")
        self._y = table.doubles(options.target)
        target = Standardised.found(options.target, self._y, train)
        if target is None:
            raise DataError(
                f"The column `{options.target}` should not be constant: nothing is to be learned."
            )
        self._target = target if options.standardise_target else None

    def x(self, rows: Indices) -> Doubles:
        """[len(rows), d], C-contiguous."""
        found = np.empty((len(rows), len(self.names)))
        place = 0
        for feature in self._features:
            found[:, place : place + len(feature.names)] = feature.of(rows).T
            place += len(feature.names)
        return found

    def y(self, rows: Indices) -> Doubles:
        """[len(rows)]."""
        return self._y[rows] if self._target is None else self._target.of(rows)[0]


def _features(table: Table, options: TableOptions, train: Indices) -> Iterator[Feature]:
    """In the order of the columns, but for constant ones, the target and those of groups."""
    for name, column in table.columns.items():
        if name == options.target or name in options.group:
            continue
        if not isinstance(column, Texts):
            if (number := Standardised.found(name, column, train)) is not None:
                yield number
            continue
        levels = sorted(column.levels[code] for code in np.unique(column.codes[train]))
        if {level.lower() for level in levels} == {"yes", "no"}:
            yield YesNo((name,), column)
        elif len(levels) > 1:
            yield Levels(tuple(f"{name}={level}" for level in levels), tuple(levels), column)
