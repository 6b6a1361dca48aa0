"""Which rows of a memory that is spread over many agents each of them draws: a function that all can compute.

Everybody knows how many rows everybody holds, so everybody knows all draws, and who holds a row that another
agent has drawn sends it without having been asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpidcl.randomness import EVERYBODY, numpy_generator

Indices = NDArray[np.int64]
FEW = 8
"""So many rows or more for each agent are drawn agent by agent, fewer for all agents at once."""


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

    def all_of_one(self) -> tuple[Indices, Indices]:
        """`of(0)` where there is one agent."""
        return np.zeros(self.rows, np.int64), np.arange(self.rows)

    def sent_by(self, owner: int) -> tuple[Indices, Indices, Indices]:
        """What is drawn of the rows of `owner`: reader [n], class [n], and number [n] among its rows of it.

        Sorted by reader, and for each of them in the order in which they arrive.
        """
        low, high = self._before[:, owner], self._before[:, owner + 1]
        if len(low) > 1:
            low, high = low[self.classes], high[self.classes]
        reader, place = np.nonzero((self.numbers >= low) & (self.numbers < high))
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
    ([0, 0, 0, 1, 1, 1], [26, 0, 4, 37, 30, 0])
    """
    if sizes.ndim != 2 or (sizes < 0).any() or min(counts, default=0) < 0:
        raise ValueError(f"Sizes [agents, classes] and counts should be at least 0. Found {sizes}, {counts}.")
    sizes = sizes if balanced else sizes.sum(1, keepdims=True)
    rng = numpy_generator(seed, EVERYBODY, "replay", step)
    held, agents = sizes.sum(0), len(sizes)
    parts = [spread(rng, held, agents, count) for count in counts]
    classes, numbers = (np.concatenate([part[i] for part in parts], axis=1) for i in range(2))
    return Plan(sizes, classes, numbers)


def spread(rng: np.random.Generator, held: Indices, agents: int, count: int) -> tuple[Indices, Indices]:
    """Classes and numbers [agents, m] of one draw of each agent; `held [classes]` rows of all agents.

    Split evenly over the classes, as `draws` says; uniform where there is one.
    """
    count = min(count, int(held.sum()))
    if len(held) == 1:
        return np.zeros((agents, count), np.int64), distinct(rng, int(held[0]), agents, count)
    level = _level(held, count)
    able = np.flatnonzero(held > level)
    one_more = able[distinct(rng, len(able), agents, count - int(np.minimum(held, level).sum()))]
    if level == 0:
        return one_more, rng.integers(0, held[one_more])
    classes, numbers = np.empty((agents, count), np.int64), np.empty((agents, count), np.int64)
    filled = np.zeros(agents, np.int64)
    for label in np.flatnonzero(held).tolist():
        more = (one_more == label).any(1)
        for group, rows in ((more, level + 1), (~more, min(level, int(held[label])))):
            who = np.flatnonzero(group)
            if not len(who):
                continue
            at = filled[who, None] + np.arange(rows)
            classes[who[:, None], at] = label
            numbers[who[:, None], at] = distinct(rng, int(held[label]), len(who), rows)
            filled[who] += rows
    return classes, numbers


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


def distinct(rng: np.random.Generator, total: int, agents: int, count: int) -> Indices:
    """[agents, count] numbers below `total`: of each agent a uniformly drawn set, in no random order.

    Bentley and Floyd 1987, "A sample of brilliance", algorithm F2, for all agents at once.
    """
    if count >= total:
        return np.tile(np.arange(total), (agents, 1))
    if count >= FEW * agents:
        sets = [rng.choice(total, count, replace=False, shuffle=False) for _ in range(agents)]
        return np.array(sets, np.int64).reshape(agents, count)
    tops = np.arange(total - count, total)
    chosen: Indices = rng.integers(0, tops[:, None] + 1, (count, agents))
    for i, top in enumerate(tops.tolist()):
        chosen[i, (chosen[:i] == chosen[i]).any(0)] = top
    return chosen.T
