"""Sets of different numbers, uniformly drawn: which rows of a memory are drawn at a step.

A draw is a function of a key and a counter, so whoever knows both finds it, without those before it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Index

Words = npt.NDArray[np.uint64]


class Loops(Protocol):
    """The module `loops`, which imports numba: so it is imported by the first call."""

    distinct: Callable[[Words, Words, int, Index, int, Index], None]


def distinct_definition(key: Words, counter: tuple[int, int], total: int, sets: int, count: int) -> Index:
    """Bentley and Floyd 1987, "A sample of brilliance", algorithm F2, with numbers of NumPy's Philox.

    Its counter is (0, number of the set, counter[0], counter[1]). A number below a size is made of a word of
    64 bits as Lemire 2019, "Fast random integer generation in an interval", says: every one is as likely.
    """
    found = []
    for one in range(sets):
        words = _words(key, (one, *counter))
        drawn: list[int] = []
        for top in range(total - count, total):
            number = _below(top + 1, words)
            drawn.append(top if number in drawn else number)
        found.append(drawn)
    return np.array(found, np.int64).reshape(sets, count)


def _words(key: Words, counter: tuple[int, int, int]) -> Iterator[int]:
    philox = np.random.Philox(key=key, counter=np.array([0, *counter], np.uint64))
    while True:
        yield int(philox.random_raw())


def _below(size: int, words: Iterator[int]) -> int:
    while True:
        upper, lower = divmod(next(words) * size, 2**64)
        if lower >= 2**64 % size:
            return upper


def distinct_numbers(key: Words, counter: tuple[int, int], total: int, sets: int, count: int) -> Index:
    """[sets, count]: sets of `count` different numbers below `total`, each a uniformly drawn set.

    Sets are independent of each other, and of those with another key or counter. Numbers of one set come in
    no random order. key [2]; counter: two numbers from 0 on. Costs O(sets * count), whatever `total` is.
    Raises ValueError for more numbers than there are, and for negative ones; TypeError for another key.

    >>> key = np.array([1, 2], np.uint64)
    >>> distinct_numbers(key, (0, 7), 1000, 2, 3).tolist()
    [[973, 100, 794], [93, 648, 587]]
    """
    if not isinstance(key, np.ndarray) or key.dtype != np.uint64 or key.shape != (2,):
        raise bad_type("key", "two words of uint64 in a NumPy array", key)
    if not 0 <= count <= total or sets < 0 or min(counter) < 0:
        found = f"{count} of {total}, {sets} sets, counter {counter}"
        raise bad("count", "between 0 and `total`, and no number negative", found)
    out = np.empty((sets, count), np.int64)
    exponent = max(2 * count - 1, 1).bit_length()
    table, words = np.empty(1 << exponent, np.int64), np.array(counter, np.uint64)
    _loops().distinct(np.ascontiguousarray(key), words, total, table, 64 - exponent, out)
    return out


@functools.cache
def _loops() -> Loops:
    from mpidcl_kernels.draws import loops

    return loops


def warm() -> None:
    """Compile the loop, or load it from the cache."""
    _loops()
