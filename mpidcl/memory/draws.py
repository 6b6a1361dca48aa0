"""Which rows of a memory that is spread over many agents each of them draws: a function that all can compute.

Everybody knows how many rows everybody holds, so everybody knows all draws, and who holds a row that another
agent has drawn sends it without having been asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mpidcl.randomness import EVERYBODY, counter_key
from mpidcl_kernels.draws import Plan, Words, distinct_numbers, plan_draws, plan_uniform

Indices = NDArray[np.int64]
_ONE_CLASS = np.zeros(1, np.int64)


def draws(
    seed: int,
    step: int,
    sizes: Indices,
    counts: Sequence[int] | Indices,
    agent: int,
    ended: Indices | None = None,
    balanced: bool = False,
) -> Plan:
    """What `agent` draws at `step` from the rows [agents, classes] that all hold, and all draw from its rows.

    Every agent makes a draw of each of `counts` rows, one independent of the other; the rows of one draw are
    different. Of fewer rows than that all are drawn. `balanced = False`: a draw is uniform over all rows of
    all agents, and there is one class. `balanced`: it is split evenly over the classes that have rows, the
    remainder goes to random classes, what a small class cannot give to the others; inside a class it is
    uniform. Who has `ended [agents]` (not 0) draws nothing.

    The same arguments give plans that fit together. Raises ValueError for negative sizes or counts.

    >>> sizes = np.array([[1], [40]])
    >>> draws(0, 5, sizes, [3], agent=0).owner.tolist(), draws(0, 5, sizes, [3], agent=1).owner.tolist()
    ([1, 1, 1], [1, 1, 1])
    >>> plan = draws(0, 5, sizes, [3], agent=1)
    >>> plan.readers.tolist(), plan.left.tolist(), plan.numbers.tolist()
    ([0, 1], [3, 6], [11, 32, 34, 2, 11, 19])
    """
    if ended is None:
        ended = np.zeros(len(sizes), np.int64)
    if not balanced:
        return plan_uniform(_key(seed), step, sizes, np.asarray(counts, np.int64), agent, ended)
    if (sizes < 0).any() or min(counts, default=0) < 0:
        raise ValueError(f"Sizes [agents, classes] and counts should be at least 0. Found {sizes}, {counts}.")
    return plan_draws(*rows_drawn(seed, step, sizes.sum(0), len(sizes), counts), sizes, agent, ended)


def spans(agents: Indices, ends: Indices) -> Iterator[tuple[int, slice]]:
    """Each agent, and where its rows lie: one agent's after the other's, up to ends [p].

    >>> list(spans(np.array([2, 5]), np.array([2, 3])))
    [(2, slice(0, 2, None)), (5, slice(2, 3, None))]
    """
    first = 0
    for agent, last in zip(agents.tolist(), ends.tolist(), strict=True):
        yield agent, slice(first, last)
        first = last


def rows_drawn(
    seed: int, step: int, held: Indices, agents: int, counts: Sequence[int] | Indices
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
