"""Which rows of a memory that is spread over many agents each of them draws: a function that all can compute.

Everybody knows how many rows everybody holds, so everybody knows all draws, and who holds a row that another
agent has drawn sends it without having been asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mpidcl.randomness import EVERYBODY, counter_key
from mpidcl_kernels.draws import Words, distinct_numbers

Indices = NDArray[np.int64]
_ONE_CLASS = np.zeros(1, np.int64)


class Plan:
    """The draws of all agents at one step.

    sizes [agents, classes]: rows that each agent holds. classes, numbers [agents, m]: the class of each row
    drawn, and its number among the rows of that class, counted over the agents in order. With `balanced`
    draws a class is a class; else there is one for all rows.
    """

    def __init__(self, sizes: Indices, classes: Indices, numbers: Indices) -> None:
        self.classes, self.numbers = classes, numbers
        self._before = np.zeros((sizes.shape[1], sizes.shape[0] + 1), np.int64)
        np.cumsum(sizes.T, axis=1, out=self._before[:, 1:])

    @property
    def total(self) -> int:
        """How many rows all agents hold together."""
        return int(self._before[:, -1].sum())

    @property
    def rows(self) -> int:
        """How many rows every agent draws."""
        return int(self.numbers.shape[1])

    def names(self, agent: int) -> Indices:
        """A number [m] for each row that an agent draws, the same for the same row."""
        held = self._before[:, -1]
        found: Indices = (np.cumsum(held) - held)[self.classes[agent]] + self.numbers[agent]
        return found

    def of(self, agent: int) -> tuple[Indices, Indices]:
        """What an agent draws: the `owner [m]` of each row, and the order [m] in which rows arrive.

        Rows of one owner arrive together, owners in order; the j-th row that arrives is draw number order[j].
        """
        classes, numbers = self.classes[agent], self.numbers[agent]
        if len(self._before) == 1:
            owner = np.searchsorted(self._before[0, 1:], numbers, side="right")
        else:
            owner = (self._before[classes, 1:] <= numbers[:, None]).sum(1)
        order = np.argsort(owner, kind="stable")
        return owner[order], order

    def sent_by(self, owner: int) -> tuple[Indices, Indices, Indices]:
        """What is drawn of the rows of `owner`: reader [n], class [n], and number [n] among its rows of it.

        Sorted by reader, and for each of them in the order in which they arrive.
        """
        low, high = self._before[:, owner], self._before[:, owner + 1]
        if len(low) > 1:
            low, high = low[self.classes], high[self.classes]
        theirs = np.flatnonzero((self.numbers >= low) & (self.numbers < high))
        reader, place = np.divmod(theirs, max(1, self.rows))
        return reader, self.classes[reader, place], (self.numbers - low)[reader, place]


def draws(seed: int, step: int, sizes: Indices, counts: Sequence[int], balanced: bool = False) -> Plan:
    """The draws of all agents at `step`, from the rows [agents, classes] that each of them holds.

    Every agent makes a draw of each of `counts` rows, one independent of the other; the rows of one draw are
    different. Of fewer rows than that all are drawn. `balanced = False`: a draw is uniform over all rows of
    all agents. `balanced`: it is split evenly over the classes that have rows, the remainder goes to random
    classes, what a small class cannot give to the others; inside a class it is uniform.

    The same arguments give the same plan everywhere. Raises ValueError for negative sizes or counts.

    >>> plan = draws(0, 5, np.array([[1], [40]]), [3])
    >>> plan.of(0)[0].tolist(), plan.of(1)[0].tolist()
    ([1, 1, 1], [1, 1, 1])
    >>> reader, _, number = plan.sent_by(1)
    >>> reader.tolist(), number.tolist()
    ([0, 0, 0, 1, 1, 1], [11, 32, 34, 2, 11, 19])
    """
    if sizes.ndim != 2 or (sizes < 0).any() or min(counts, default=0) < 0:
        raise ValueError(f"Sizes [agents, classes] and counts should be at least 0. Found {sizes}, {counts}.")
    sizes = sizes if balanced else sizes.sum(1, keepdims=True)
    return Plan(sizes, *rows_drawn(seed, step, sizes.sum(0), len(sizes), counts))


def rows_drawn(
    seed: int, step: int, held: Indices, agents: int, counts: Sequence[int]
) -> tuple[Indices, Indices]:
    """Classes and numbers [agents, m] of all draws at `step`; all agents together hold `held [classes]`."""
    parts = [spread(_key(seed), (number, step), held, agents, count) for number, count in enumerate(counts)]
    if len(parts) == 1:
        return parts[0]
    classes, numbers = (np.concatenate([part[i] for part in parts], axis=1) for i in range(2))
    return classes, numbers


@lru_cache(maxsize=16)
def _key(seed: int) -> Words:
    return counter_key(seed, EVERYBODY, "replay")


def spread(
    key: Words, counter: tuple[int, int], held: Indices, agents: int, count: int
) -> tuple[Indices, Indices]:
    """Classes and numbers [agents, m] of one draw of each agent; `held [classes]` rows of all agents.

    Split evenly over the classes, as `draws` says; uniform where there is one. `counter`: the number of the
    draw, and the step.
    """
    (number, step), count = counter, min(count, int(held.sum()))
    of_rows, of_classes = (2 * number, step), (2 * number + 1, step)
    if len(held) == 1:
        found = distinct_numbers(key, of_rows, np.repeat(held, agents), np.full(agents, count))
        return np.broadcast_to(_ONE_CLASS, (agents, count)), found.reshape(agents, count)
    level = _level(held, count)
    taken, able = np.minimum(held, level), np.flatnonzero(held > level)
    rest = count - int(taken.sum())
    more = distinct_numbers(key, of_classes, np.full(agents, len(able)), np.full(agents, rest))
    more = able[more].reshape(agents, rest)
    if level == 0:
        sets, rows = more.ravel(), np.ones(agents * rest, np.int64)
    else:
        each = np.tile(taken, (agents, 1))
        each[np.arange(agents)[:, None], more] += 1
        sets, rows = np.nonzero(each)[1], each[each > 0]
    classes = np.repeat(sets, rows)
    numbers = distinct_numbers(key, of_rows, held[sets], rows)
    return classes.reshape(agents, count), numbers.reshape(agents, count)


def _level(held: Indices, count: int) -> int:
    """The most rows that can be taken of every class, or all of a smaller one, of `count` together."""
    low, high = 0, int(held.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(held, middle).sum()) <= count:
            low = middle
        else:
            high = middle - 1
    return low
