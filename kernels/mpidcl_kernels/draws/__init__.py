"""Sets of different numbers, uniformly drawn: which rows of a memory are drawn at a step.

A draw is a function of a key and a counter, so whoever knows both finds it, without those before it. And who
knows how many rows everybody holds finds what everybody draws, and plans what to receive and what to send.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Index

Words = npt.NDArray[np.uint64]


class Loops(Protocol):
    """The module `loops`, which imports numba: so it is imported by the first call."""

    distinct: Callable[[Words, Words, Index, Index], Index]
    plan: Callable[[Index, Index, Index, int, Index], tuple[Index, ...] | None]
    plan_uniform: Callable[[Words, int, Index, Index, int, Index], tuple[Index, ...] | None]


class Plan(NamedTuple):
    """What one agent draws from the rows of all, and what all draw from its rows.

    m rows for the agent arrive owner after owner, and those of one owner in the order of the draw.
    `owner [m]`: who holds each, as they arrive. `arrival [m]`: where each row that is drawn arrives.
    `name [m]`: a number for each row that is drawn, the same for the same row. `owners [p]`, `came [p]`: who
    holds any of them, and where theirs end.

    n rows leave the agent, reader after reader, the agent itself as the last one; those of one reader as they
    arrive there. `classes [n]`, `numbers [n]`: the class of each, and its number among the agent's rows of
    it. `readers [q]`, `left [q]`: who draws any of them, and where theirs end.
    """

    owner: Index
    arrival: Index
    name: Index
    owners: Index
    came: Index
    classes: Index
    numbers: Index
    readers: Index
    left: Index


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


def plan_definition(classes: Index, numbers: Index, sizes: Index, agent: int, ended: Index) -> Plan:
    """Rows of a class are numbered over the agents in order, and so are classes for the names."""
    ends, held = np.cumsum(sizes, 0), sizes.sum(0)
    holder = (ends[:, classes] <= numbers).sum(0)
    drawn = holder[agent, : 0 if ended[agent] else None]
    order = np.argsort(drawn, kind="stable")
    owners, came = np.unique(drawn, return_counts=True)
    name = (np.cumsum(held) - held)[classes[agent]] + numbers[agent]
    turns = [reader for reader in (*np.delete(np.arange(len(sizes)), agent), agent) if not ended[reader]]
    places = [np.flatnonzero(holder[reader] == agent) for reader in turns]
    kinds = [classes[reader, place] for reader, place in zip(turns, places, strict=True)]
    found = [numbers[reader, place] for reader, place in zip(turns, places, strict=True)]
    label = np.concatenate([np.empty(0, np.int64), *kinds])
    number = np.concatenate([np.empty(0, np.int64), *found]) - (ends - sizes)[agent, label]
    left = np.cumsum([len(place) for place in places], dtype=np.int64)
    some = np.flatnonzero([len(place) for place in places])
    return Plan(
        drawn[order], np.argsort(order), name[: len(drawn)], owners, np.cumsum(came),
        label, number, np.array(turns, np.int64)[some], left[some],
    )  # fmt: skip


def plan_uniform_definition(
    key: Words, step: int, sizes: Index, counts: Sequence[int], agent: int, ended: Index
) -> Plan:
    """Draw i of all agents has the counter (2 i, step); of fewer rows than are drawn all come."""
    agents, total = len(sizes), int(sizes.sum())
    each = [
        distinct_definition(key, (2 * i, step), np.full(agents, total), np.full(agents, min(count, total)))
        for i, count in enumerate(counts)
    ]
    numbers = np.concatenate([found.reshape(agents, -1) for found in each], axis=1)
    return plan_definition(np.zeros_like(numbers), numbers, sizes.sum(1, keepdims=True), agent, ended)


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
    _check_key(key)
    if min(counter) < 0:
        raise bad("counter", "at least 0", counter)
    found = _loops().distinct(key, np.array(counter, np.uint64), totals, counts)
    if not found.size and (totals.shape != counts.shape or (counts < 0).any() or (counts > totals).any()):
        raise bad("counts", "between 0 and `totals`, one for each", f"{counts} of {totals}")
    return found


def plan_draws(classes: Index, numbers: Index, sizes: Index, agent: int, ended: Index) -> Plan:
    """The plan of `agent` when reader i draws the rows numbers[i] of classes[i], both [agents, m].

    `sizes [agents, classes]`: rows that each agent holds. The rows of a class are numbered over the agents in
    order. Who has `ended [agents]` (not 0) draws nothing. Raises ValueError where no row has such a number.

    >>> sizes, nobody = np.array([[2], [3]]), np.array([0, 0])
    >>> plan = plan_draws(np.zeros((2, 2), np.int64), np.array([[4, 0], [3, 2]]), sizes, 0, nobody)
    >>> plan.owner.tolist(), plan.arrival.tolist(), plan.numbers.tolist(), plan.readers.tolist()
    ([0, 1], [1, 0], [0], [0])
    """
    shape = sizes.shape[:1]
    if classes.shape != numbers.shape or numbers.shape[:1] != shape or not _is_there(agent, sizes, ended):
        raise bad("numbers", "[agents, m], as `classes`, with the agents of `sizes`", list(numbers.shape))
    found = _loops().plan(classes, numbers, sizes, agent, ended)
    if found is None:
        raise bad("numbers", f"those of rows, of {sizes.sum(0)} of each class", f"{numbers} of {classes}")
    return Plan(*found)


def plan_uniform(key: Words, step: int, sizes: Index, counts: Index, agent: int, ended: Index) -> Plan:
    """The plan of `agent` when everybody makes draws of counts[i] rows, each uniform over all rows of all.

    Rows of one draw are different; of fewer rows than that all come. Draw i has the counter (2 i, step) and
    set j of it is agent j's: see `distinct_numbers`. Else as for `plan_draws`. Raises ValueError for negative
    sizes, counts and steps, TypeError for another key.

    >>> key = np.array([1, 2], np.uint64)
    >>> plan = plan_uniform(key, 7, np.array([[400], [600]]), np.array([3]), 1, np.array([0, 0]))
    >>> plan.name.tolist(), plan.owner.tolist(), plan.readers.tolist()
    ([93, 648, 587], [0, 1, 1], [0, 1])
    """
    _check_key(key)
    if step < 0:
        raise bad("step", "at least 0", step)
    if not _is_there(agent, sizes, ended):
        raise bad(
            "ended", "[agents], with the agents of `sizes`", f"{list(ended.shape)} of {list(sizes.shape)}"
        )
    found = _loops().plan_uniform(key, step, sizes, counts, agent, ended)
    if found is None:
        raise bad("sizes", "at least 0, and so should `counts`", f"{sizes}, {counts}")
    return Plan(*found)


def _is_there(agent: int, sizes: Index, ended: Index) -> bool:
    return ended.shape == sizes.shape[:1] and 0 <= agent < len(sizes)


def _check_key(key: Words) -> None:
    if not isinstance(key, np.ndarray) or key.dtype != np.uint64 or key.shape != (2,):
        raise bad_type("key", "two words of uint64 in a NumPy array", key)


@functools.cache
def _loops() -> Loops:
    from mpidcl_kernels.draws import loops

    return loops


def warm() -> None:
    """Compile the loop, or load it from the cache."""
    _loops()
