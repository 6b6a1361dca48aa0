"""Moments at equal distances, and many such series told in one order, none of them stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple


class Series(NamedTuple):
    """The numbers first, first + step, ..., `length` of them; `step` is 1 or more."""

    first: int
    step: int = 1
    length: int = 1


def merged(series: Sequence[Series], after: int, last: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Every number above `after` and up to `last`, in order, with the places of the series that hold it.

    Costs one step of a heap per number and series; beginning late costs nothing.

    >>> list(merged([Series(0, 2, 4), Series(3, 3, 9)], after=0, last=7))
    [(2, (0,)), (3, (1,)), (4, (0,)), (6, (0, 1))]
    """
    heap = []
    for place, (first, step, length) in enumerate(series):
        gone = max(0, (after - first) // step + 1)
        if gone < length:
            heap.append((first + gone * step, place, step, first + (length - 1) * step))
    heapify(heap)
    while heap and (number := heap[0][0]) <= last:
        places: tuple[int, ...] = ()
        while heap and heap[0][0] == number:
            _, place, step, end = heap[0]
            places += (place,)
            if number < end:
                heapreplace(heap, (number + step, place, step, end))
            else:
                heappop(heap)
        yield number, places
