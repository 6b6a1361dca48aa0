"""Columns of a table while it is read: numbers as numbers, texts as codes of the levels that were seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import DataError
from mpidcl.stream.regression.task import Doubles

MOST_LEVELS = 100
"""Texts of a column that is a feature, each of which becomes one: a column of names is none."""
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
"""What stands for a number that is not there, in lower case."""
Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Texts:
    """A column of texts: row i has levels[codes[i]]."""

    codes: Codes
    levels: tuple[str, ...]


class NotNumber(NamedTuple):
    """The first field of a column that is no number, and its place."""

    place: str
    field: str


class TextColumn:
    """Texts, without the blanks around them."""

    def __init__(self, name: str, most: int | None, why: NotNumber | None) -> None:
        self._name, self._most, self._why = name, most, why
        self._levels: dict[str, int] = {}
        self._parts: list[Codes] = []

    def codes(self, fields: Sequence[str]) -> Codes:
        """The codes of these fields. Raises DataError for more levels than a feature may have."""
        levels = self._levels
        found = np.array([levels.setdefault(field.strip(), len(levels)) for field in fields], np.int32)
        if self._most is not None and len(levels) > self._most:
            because = f": {self._why.field!r:.60} in {self._why.place} is no number" if self._why else ""
            raise DataError(
                f"The column `{self._name}` should hold numbers, or at most {self._most} different texts."
                f" Found more{because}. Mend that, or put it into `stream.drop` or `stream.group`."
            )
        return found

    def add(self, codes: Codes) -> None:
        """Rows that stay."""
        self._parts.append(codes)

    def done(self) -> Texts:
        """The whole column."""
        return Texts(np.concatenate([*self._parts, np.empty(0, np.int32)]), tuple(self._levels))


def numbers(fields: Sequence[str]) -> Doubles | None:
    """The numbers [n] that fields spell, NaN for a missing one; None where one is neither."""
    if "_" in "".join(fields):  # which Python reads over
        return None
    try:
        return np.fromiter(map(float, fields), np.float64, len(fields))
    except ValueError:
        pass
    try:
        return np.fromiter(map(_number, fields), np.float64, len(fields))
    except ValueError:
        return None


def _number(field: str) -> float:
    return nan if field.strip().lower() in MISSING else float(field)


def first_text(fields: Sequence[str]) -> int:
    """Which of them is the first that is neither a number nor missing."""
    return next(place for place, field in enumerate(fields) if numbers([field]) is None)
