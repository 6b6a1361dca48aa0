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

    distinct: Callable[[Words, Words, Index, Index], Index]


def distinct_definition(key: Words, counter: tuple[int, int], totals: Index, counts: Index) -> Index:
    """Bentley and Floyd 1987, "A sample of brilliance", algorithm F2, with numbers of NumPy's Philox.

    Its counter is (0, number of the set, counter[0], counter[1]). A number below a size is made of a word of
    64 bits as Lemire 2019, "Fast random integer generation in an interval", says: every one is as likely.
    """
    found: list[int] = []
    for one, (total, count) in enumerate(zip(totals.tolist(), counts.tolist(), strict=True)):
        words = _words(key, (one, *counter))
        drawn: list[int] = []
        for top in range(total - count, total):
            number = _below(top + 1, words)
            drawn.append(top if number in drawn else number)
        found += drawn
    return np.array(found, np.int64)


def _words(key: Words, counter: tuple[int, int, int]) -> Iterator[int]:
    philox = np.random.Philox(key=key, counter=np.array([0, *counter], np.uint64))
    while True:
        yield int(philox.random_raw())


def _below(size: int, words: Iterator[int]) -> int:
    while True:
        upper, lower = divmod(next(words) * size, 2**64)
        if lower >= 2**64 % size:
            return upper


def distinct_numbers(key: Words, counter: tuple[int, int], totals: Index, counts: Index) -> Index:
    """Sets of counts[i] different numbers below totals[i], each uniformly drawn: one after the other, [sum].

    Sets are independent of each other, and of those with another key or counter. Numbers of one set come in
    no random order. key [2]; counter: two numbers from 0 on. The time grows with `counts`, not with `totals`.
    Raises ValueError for more numbers than there are, and for negative ones; TypeError for another key.

    >>> key = np.array([1, 2], np.uint64)
    >>> distinct_numbers(key, (0, 7), np.array([1000, 4]), np.array([3, 2])).tolist()
    [973, 100, 794, 0, 2]
    """
    if not isinstance(key, np.ndarray) or key.dtype != np.uint64 or key.shape != (2,):
        raise bad_type("key", "two words of uint64 in a NumPy array", key)
    if min(counter) < 0:
        raise bad("counter", "at least 0", counter)
    found = _loops().distinct(key, np.array(counter, np.uint64), totals, counts)
    if not found.size and (totals.shape != counts.shape or (counts < 0).any() or (counts > totals).any()):
        raise bad("counts", "between 0 and `totals`, one for each", f"{counts} of {totals}")
    return found


@functools.cache
def _loops() -> Loops:
    from mpidcl_kernels.draws import loops

    return loops


def warm() -> None:
    """Compile the loop, or load it from the cache."""
    _loops()
