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


def _distinct(key, counter, totals, counts):  # type: ignore[no-untyped-def]
    """One set after the other; nothing where a set cannot be drawn."""
    drawn, most = _all_and_most(totals, counts)
    out, words = np.empty(drawn, np.int64), np.empty(4, np.uint64)
    if drawn == 0:
        return out
    shift = 63  # of a table with at least twice as many places as numbers of a set
    while (1 << (64 - shift)) < 2 * most:
        shift -= 1
    table, first = np.empty(1 << (64 - shift), np.int64), 0
    for one in range(counts.size):
        total, count = totals[one], counts[one]
        table[:] = FREE
        block, left = ZERO, 0
        for i in range(count):
            size = U(total - count + i) + ONE
            while True:
                if left == 0:
                    block += ONE
                    words[0], words[1], words[2], words[3] = _words(
                        key, block, U(one), counter[0], counter[1]
                    )
                    left = 4
                word = words[4 - left]
                left -= 1
                lower = word * size  # modulo 2^64, of which so many are too many
                if lower >= size or lower >= (ZERO - size) % size:
                    break
            number = np.int64(_upper(word, size))
            if not _put(table, number, U(shift)):
                number = np.int64(size - ONE)
                _put(table, number, U(shift))
            out[first + i] = number
        first += count
    return out


KEYS = types.Array(types.uint64, 1, "A", readonly=True)
GIVEN = types.Array(types.int64, 1, "A", readonly=True)

distinct: Callable[[Words, Words, Index, Index], Index] = compiled_only(_distinct, KEYS, KEYS, GIVEN, GIVEN)
