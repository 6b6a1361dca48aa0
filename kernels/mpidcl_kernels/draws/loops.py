"""Compiled form of `draws`. Words come from Philox, so that any draw is found without those before it.

Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": Philox4x64 with 10 rounds, whose words are
those of `numpy.random.Philox`. All numbers of the loops are unsigned: numba makes floats of mixed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import extending, types
from numba.core.base import BaseContext
from numba.core.typing.context import Context
from numba.core.typing.templates import Signature

from mpidcl_kernels.base.cache import compiled_only
from mpidcl_kernels.base.types import Decorator, Index, Inlined

Words = npt.NDArray[np.uint64]
U = np.uint64
FIRST, SECOND = U(0xD2E7470EE14C6C93), U(0xCA5A826395121157)
"""Multipliers of a round."""
GOLDEN, ROOT = U(0x9E3779B97F4A7C15), U(0xBB67AE8584CAA73B)
"""What the two words of the key grow by with each round."""
ROUNDS = 10
SPREAD = U(0x9E3779B97F4A7C15)
"""2^64 / golden ratio, odd: the upper bits of products with it differ where numbers differ (Knuth, 6.4)."""
ZERO, ONE = U(0), U(1)
FREE = -1

part: Decorator = extending.register_jitable
WORD, TWO_WORDS = ir.IntType(64), ir.IntType(128)


def _typed_upper(context: Context, a: types.Type, b: types.Type) -> tuple[Signature, object]:
    """Upper word of the product of two words: one instruction for which numba has no word."""

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, values: Sequence[ir.Value]
    ) -> ir.Value:
        wide = [builder.zext(value, TWO_WORDS) for value in values]
        return builder.trunc(builder.lshr(builder.mul(*wide), TWO_WORDS(64)), WORD)

    return types.uint64(types.uint64, types.uint64), generate


_upper: Inlined = extending.intrinsic(_typed_upper)


@part
def _words(key, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """The four words of a counter."""
    k0, k1 = key[0], key[1]
    for _ in range(ROUNDS):
        high, other = _upper(FIRST, c0), _upper(SECOND, c2)
        c0, c1, c2, c3 = other ^ c1 ^ k0, SECOND * c2, high ^ c3 ^ k1, FIRST * c0
        k0 += GOLDEN
        k1 += ROOT
    return c0, c1, c2, c3


@part
def _put(table, number, shift):  # type: ignore[no-untyped-def]
    """Whether a number was new to the table, which has it now."""
    last = U(table.size) - ONE
    place = (U(number) * SPREAD) >> shift
    while table[np.int64(place)] != FREE:
        if table[np.int64(place)] == number:
            return False
        place = (place + ONE) & last
    table[np.int64(place)] = number
    return True


@part
def _all_and_most(totals, counts):  # type: ignore[no-untyped-def]
    """How many numbers are drawn, and how many of the largest set; none where that cannot be."""
    drawn, most = 0, 0
    if totals.size != counts.size:
        return 0, 0
    for i in range(counts.size):
        if counts[i] < 0 or counts[i] > totals[i]:
            return 0, 0
        drawn += counts[i]
        most = max(most, counts[i])
    return drawn, most


@part
def _table(most):  # type: ignore[no-untyped-def]
    """A table with at least twice as many places as numbers of a set, and the shift of its places."""
    shift = 63
    while (1 << (64 - shift)) < 2 * most:
        shift -= 1
    return np.empty(1 << (64 - shift), np.int64), U(shift)


@part
def _one_set(key, one, first, second, total, count, table, shift, out):  # type: ignore[no-untyped-def]
    """Fill `out [count]` with set `one` of the counter (first, second)."""
    table[:] = FREE
    block, left = ZERO, 0
    w0, w1, w2, w3 = ZERO, ZERO, ZERO, ZERO
    for i in range(count):
        size = U(total - count + i) + ONE
        while True:
            if left == 0:
                block += ONE
                w0, w1, w2, w3 = _words(key, block, one, first, second)
                left = 4
            word = w0
            w0, w1, w2 = w1, w2, w3
            left -= 1
            lower = word * size  # modulo 2^64, of which so many are too many
            if lower >= size or lower >= (ZERO - size) % size:
                break
        number = np.int64(_upper(word, size))
        if not _put(table, number, shift):
            number = np.int64(size - ONE)
            _put(table, number, shift)
        out[i] = number


def _distinct(key, counter, totals, counts):  # type: ignore[no-untyped-def]
    """One set after the other; nothing where a set cannot be drawn."""
    drawn, most = _all_and_most(totals, counts)
    out = np.empty(drawn, np.int64)
    if drawn == 0:
        return out
    table, shift = _table(most)
    first = 0
    for one in range(counts.size):
        last = first + counts[one]
        _one_set(key, U(one), counter[0], counter[1], totals[one], counts[one], table, shift, out[first:last])
        first = last
    return out


# --- what one agent receives and sends --------------------------------------------------------------


@part
def _holder(ends, number):  # type: ignore[no-untyped-def]
    """The agent whose rows begin at or before a number, and end after it."""
    low, high = 0, ends.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if ends[middle] <= number:
            low = middle
        else:
            high = middle
    return low


@part
def _received(classes, numbers, ends, agent, owner, arrival, name):  # type: ignore[no-untyped-def]
    """Fills what belongs to each row that an agent draws."""
    rows, labels, agents = owner.size, ends.shape[0], ends.shape[1] - 1
    drawn, at = np.empty(rows, np.int64), np.zeros(agents + 1, np.int64)
    for i in range(rows):
        label, number = 0 if labels == 1 else classes[agent, i], numbers[agent, i]
        drawn[i] = _holder(ends[label], number)
        at[drawn[i] + 1] += 1
        for other in range(label):
            number += ends[other, agents]
        name[i] = number
    for one in range(agents):
        at[one + 1] += at[one]
    for i in range(rows):  # in order, so that rows of one owner keep theirs
        place = at[drawn[i]]
        arrival[i], owner[place] = place, drawn[i]
        at[drawn[i]] += 1


@part
def _sent(classes, numbers, ends, agent, reader, first, kinds, found):  # type: ignore[no-untyped-def]
    """Put classes and numbers of those rows of an agent that a reader draws from place `first` on."""
    for i in range(numbers.shape[1]):
        label, number = 0 if ends.shape[0] == 1 else classes[reader, i], numbers[reader, i]
        low = ends[label, agent]
        if low <= number < ends[label, agent + 1]:
            if first < found.size:
                kinds[first], found[first] = label, number - low
            first += 1
    return first


@part
def _planned(classes, numbers, ends, agent, ended):  # type: ignore[no-untyped-def]
    agents, rows = numbers.shape[0], 0 if ended[agent] else numbers.shape[1]
    owner, arrival, name = np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.int64)
    _received(classes, numbers, ends, agent, owner, arrival, name)
    owners, came, p = np.empty(agents, np.int64), np.empty(agents, np.int64), 0
    for i in range(rows):
        if i == rows - 1 or owner[i + 1] != owner[i]:
            owners[p], came[p] = owner[i], i + 1
            p += 1
    kinds, found = np.empty(2 * numbers.shape[1], np.int64), np.empty(2 * numbers.shape[1], np.int64)
    while True:
        readers, left, q, n = np.empty(agents, np.int64), np.empty(agents, np.int64), 0, 0
        for turn in range(agents):
            reader = agent if turn == agents - 1 else turn + (turn >= agent)
            last = n if ended[reader] else _sent(classes, numbers, ends, agent, reader, n, kinds, found)
            if last > n:
                readers[q], left[q], n = reader, last, last
                q += 1
        if n <= found.size:
            break
        kinds, found = np.empty(n, np.int64), np.empty(n, np.int64)
    return owner, arrival, name, owners[:p], came[:p], kinds[:n], found[:n], readers[:q], left[:q]


def _plan(classes, numbers, sizes, agent, ended):  # type: ignore[no-untyped-def]
    """A plan of draws that are known; None where a number is not one of a row."""
    agents, labels = sizes.shape
    ends = np.zeros((labels, agents + 1), np.int64)
    for label in range(labels):
        for one in range(agents):
            ends[label, one + 1] = ends[label, one] + sizes[one, label]
    for reader in range(agents):
        for i in range(numbers.shape[1]):
            label = classes[reader, i]
            if label < 0 or label >= labels:
                return None
            if numbers[reader, i] < 0 or numbers[reader, i] >= ends[label, agents]:
                return None
    return _planned(classes.copy(), numbers.copy(), ends, agent, ended)  # types of the other plan


def _plan_uniform(key, step, sizes, counts, agent, ended):  # type: ignore[no-untyped-def]
    """A plan of uniform draws from all classes together; None for negative sizes and counts."""
    agents, rows, most = sizes.shape[0], 0, 0
    ends = np.zeros((1, agents + 1), np.int64)
    for one in range(agents):
        ends[0, one + 1] = ends[0, one]
        for label in range(sizes.shape[1]):
            if sizes[one, label] < 0:
                return None
            ends[0, one + 1] += sizes[one, label]
    total = ends[0, agents]
    for count in counts:
        if count < 0:
            return None
        rows += min(count, total)
        most = max(most, min(count, total))
    numbers, (table, shift) = np.empty((agents, rows), np.int64), _table(most)
    for reader in range(agents):
        first = 0
        for draw in range(0 if ended[reader] else counts.size):
            last = first + min(counts[draw], total)
            out = numbers[reader, first:last]
            _one_set(key, U(reader), U(2 * draw), U(step), total, last - first, table, shift, out)
            first = last
    return _planned(numbers, numbers, ends, agent, ended)  # of one class no labels are looked at


KEYS = types.Array(types.uint64, 1, "A", readonly=True)
GIVEN = types.Array(types.int64, 1, "A", readonly=True)

TABLES = types.Array(types.int64, 2, "A", readonly=True)
NUMBER = types.int64

distinct: Callable[[Words, Words, Index, Index], Index] = compiled_only(_distinct, KEYS, KEYS, GIVEN, GIVEN)
plan: Callable[[Index, Index, Index, int, Index], tuple[Index, ...] | None] = compiled_only(
    _plan, TABLES, TABLES, TABLES, NUMBER, GIVEN
)
plan_uniform: Callable[[Words, int, Index, Index, int, Index], tuple[Index, ...] | None] = compiled_only(
    _plan_uniform, KEYS, NUMBER, TABLES, GIVEN, NUMBER, GIVEN
)
