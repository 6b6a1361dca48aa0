"""Which rows of a memory that is spread over many agents each of them draws: a function that all can compute.

Everybody knows how many rows everybody holds, so everybody knows all draws, and who holds a row that another
agent has drawn sends it without having been asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpidcl.randomness import EVERYBODY, counter_key, numpy_generator
from mpidcl_kernels.draws import distinct_numbers

Indices = NDArray[np.int64]
FEW = 8
"""So many rows or more for each agent are drawn agent by agent, fewer for all agents at once."""
FEW_NUMBERS = 64
"""So many numbers of all agents or fewer are compared without NumPy, whose calls would take longer."""
MANY = 1 << 14
"""So many numbers of all agents or more are drawn by rejection, which is faster where it is rare."""
_AT_ONCE = 1 << 13
"""Numbers that are compared at once: what that takes stays in the cache."""
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
    ([0, 0, 0, 1, 1, 1], [26, 0, 4, 37, 30, 0])
    """
    if sizes.ndim != 2 or (sizes < 0).any() or min(counts, default=0) < 0:
        raise ValueError(f"Sizes [agents, classes] and counts should be at least 0. Found {sizes}, {counts}.")
    sizes = sizes if balanced else sizes.sum(1, keepdims=True)
    rng = numpy_generator(seed, EVERYBODY, "replay", step)
    held, agents = sizes.sum(0), len(sizes)
    parts = [spread(rng, held, agents, count) for count in counts]
    if len(parts) == 1:
        return Plan(sizes, *parts[0])
    classes, numbers = (np.concatenate([part[i] for part in parts], axis=1) for i in range(2))
    return Plan(sizes, classes, numbers)


def key_alone(seed: int) -> NDArray[np.uint64]:
    """The key of `draws_alone`."""
    return counter_key(seed, EVERYBODY, "replay alone")


def draws_alone(
    key: NDArray[np.uint64], step: int, held: Indices, counts: Indices
) -> tuple[Indices, Indices]:
    """Classes and numbers [m] of all draws of an agent that holds all rows, `held [classes]` of each class.

    They are as likely as those of `draws` and other ones, found in less time: no generator is made. Draws are
    balanced where there are several classes.
    """
    if len(held) == 1:
        totals = np.repeat(held, len(counts))
        numbers = distinct_numbers(key, (0, step), totals, np.minimum(counts, totals))
        return np.zeros(len(numbers), np.int64), numbers
    each = enumerate(counts.tolist())
    parts = [_balanced_alone(key, (number, step), held, count) for number, count in each]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _balanced_alone(
    key: NDArray[np.uint64], counter: tuple[int, int], held: Indices, count: int
) -> tuple[Indices, Indices]:
    number, step = counter
    count = min(count, int(held.sum()))
    level = _level(held, count)
    taken, able = np.minimum(held, level), np.flatnonzero(held > level)
    rest = np.array([count - int(taken.sum())])
    more = distinct_numbers(key, (2 * number, step), np.array([len(able)]), rest)
    taken[able[more]] += 1
    classes = np.repeat(np.arange(len(held)), taken)
    return classes, distinct_numbers(key, (2 * number + 1, step), held, taken)


def spread(rng: np.random.Generator, held: Indices, agents: int, count: int) -> tuple[Indices, Indices]:
    """Classes and numbers [agents, m] of one draw of each agent; `held [classes]` rows of all agents.

    Split evenly over the classes, as `draws` says; uniform where there is one.
    """
    count = min(count, int(held.sum()))
    if len(held) == 1:
        return np.broadcast_to(_ONE_CLASS, (agents, count)), distinct(rng, int(held[0]), agents, count)
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

    Bentley and Floyd 1987, "A sample of brilliance", algorithm F2, for all agents at once; of many numbers
    those that an agent has drawn before are drawn again.
    """
    if count >= total:
        return np.tile(np.arange(total), (agents, 1))
    if count >= FEW * agents:
        sets = [rng.choice(total, count, replace=False, shuffle=False) for _ in range(agents)]
        return np.array(sets, np.int64).reshape(agents, count)
    if count * agents >= MANY and count * 4 <= total:
        found: Indices = rng.integers(0, total, (agents, count))
        at_once = max(1, _AT_ONCE // count)
        for first in range(0, agents, at_once):
            _make_different(rng, total, found[first : first + at_once])
        return found
    first = (
        total - count
    )  # number i is drawn below first + i + 1, and is first + i where that is there already
    chosen: Indices = rng.integers(0, np.arange(first, total)[:, None] + 1, (count, agents))
    if count * agents <= FEW_NUMBERS:
        return np.array([_replaced(one, first) for one in chosen.T.tolist()], np.int64).reshape(agents, count)
    for i in range(count):
        chosen[i, (chosen[:i] == chosen[i]).any(0)] = first + i
    return chosen.T


def _replaced(drawn: list[int], first: int) -> list[int]:
    """The numbers of one agent, first + i in place of number i where that is there already."""
    found: dict[int, None] = {}
    for i, number in enumerate(drawn):
        found[first + i if number in found else number] = None
    return list(found)


def _make_different(rng: np.random.Generator, total: int, drawn: Indices) -> None:
    """Draw those of `drawn` [agents, count] again that an agent has drawn before, in place.

    Which these are depends on what is equal, and not on its size: so all sets are as likely.
    """
    count = drawn.shape[1]
    bits, places, look = count.bit_length(), np.arange(count), np.arange(len(drawn))
    while len(look):
        ordered = np.sort(drawn[look] << bits | places, axis=1)
        same = np.flatnonzero(ordered[:, 1:] ^ ordered[:, :-1] < 1 << bits)
        row, before = np.divmod(same, count - 1)
        again = ordered[row, before + 1] & (1 << bits) - 1
        drawn[look[row], again] = rng.integers(0, total, len(row))
        look = look[np.unique(row)]
