"""The k-th largest score of a long vector, without sorting or partitioning it: on the CPU.

1. A sample gives a limit that a little more than k scores exceed.
2. One vectorised pass counts, piece by piece, the scores above the limit and equal to it.
3. One pass collects them: each piece knows from the counts where its own go.
4. The few that are too many are dropped.

The sample decides how much work there is, never the result. It is taken at fixed places.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.threads import for_pieces
from mpidcl_kernels.base.types import Floats, Integers
from mpidcl_kernels.sparse import loops

WHOLE, LEAST, MOST = 8192, 4096, 32_768
"""Scores up to which no sample is taken, and sizes of a sample."""


def select(a: Floats, b: Floats, change: bool, out: Integers) -> None:
    """Fill `out` [k] with the positions of the k largest scores (see `loops.py`), ascending."""
    k, limit, likely = out.size, *_limits(a, b, change, out.size)
    counts = _counts(a, b, change, limit)
    if counts.sum() < k:  # the sample was not like the rest; everything is above -inf or equal to it
        limit = a.dtype.type(-np.inf)
        counts = _counts(a, b, change, limit)
    above = int(counts[:, 0].sum())
    if above <= k:
        _collected(a, b, change, limit, counts, k - above, out, np.empty(k, a.dtype))
        return
    positions, values = np.empty(above, out.dtype), np.empty(above, a.dtype)
    _collected(a, b, change, limit, counts, 0, positions, values)
    limit = _kth(values, k, likely)
    loops.trim(values, positions, limit, k - int(np.count_nonzero(values > limit)))
    out[:] = positions[:k]


def _limits(a: Floats, b: Floats, change: bool, k: int) -> tuple[np.floating, np.floating]:
    """A score that is most likely just below the k-th largest, and one that is not below it."""
    if a.size <= WHOLE:
        kth = np.partition(_scores(a, b, change), a.size - k)[a.size - k]
        return kth, kth
    places = _places(a.size)
    scores = _scores(a[places], b[places] if change else a, change)
    n, share = places.size, k / a.size
    # The rank of the k-th largest in the sample is binomial: five standard deviations, and two.
    spread = 5 * np.sqrt(n * share * (1 - share)) + 2
    low, high = n - int(n * share + spread), n - int(n * share - spread)
    parted = np.partition(scores, [max(0, low), min(high, n - 1)])
    infinity = a.dtype.type(np.inf)
    return parted[low] if low >= 0 else -infinity, parted[high] if high < n else infinity


@functools.lru_cache(maxsize=4)
def _places(size: int) -> npt.NDArray[np.int64]:
    """Where a vector of `size` scores is sampled: the same places at every call."""
    count = min(MOST, max(LEAST, size // 32))
    number = np.arange(count, dtype=np.uint64)
    # Uneven steps (a Weyl sequence): layers repeat with periods that even steps could fall in with.
    jitter = ((number * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) % np.uint64(size // count)
    return (number * np.uint64(size) // np.uint64(count) + jitter).astype(np.int64)


def _scores(a: Floats, b: Floats, change: bool) -> Floats:
    with np.errstate(invalid="ignore", over="ignore"):
        scores = np.abs(a - b) if change else a
    ranked: Floats = np.where(np.isnan(scores), scores.dtype.type(np.inf), scores)
    return ranked


def _counts(a: Floats, b: Floats, change: bool, limit: np.floating) -> npt.NDArray[np.int64]:
    counts = np.zeros((-(-a.size // loops.PIECE), 2), np.int64)
    work: Callable[[int, int], None] = lambda first, last: loops.count(  # noqa: E731
        a, b, change, limit, first, last, counts
    )
    for_pieces(work, len(counts))
    return counts


def _collected(
    a: Floats,
    b: Floats,
    change: bool,
    limit: np.floating,
    counts: npt.NDArray[np.int64],
    equal: int,
    positions: Integers,
    values: Floats,
) -> None:
    """Collect all scores above `limit` and the first `equal` that are equal to it."""
    before = np.cumsum(counts[:, 1]) - counts[:, 1]
    quotas = np.clip(equal - before, 0, counts[:, 1])
    ends = np.concatenate([[0], np.cumsum(counts[:, 0] + quotas)])
    work: Callable[[int, int], None] = lambda first, last: loops.collect(  # noqa: E731
        a, b, change, limit, quotas, ends, first, last, positions, values
    )
    for_pieces(work, len(counts))


def _kth(values: Floats, k: int, likely: np.floating) -> np.floating:
    """The k-th largest of `values`, of which the k-th is most likely at most `likely`."""
    few = int(np.count_nonzero(values <= likely))
    among, place = values, values.size - k
    if place < few:
        low = np.empty(few + 1, values.dtype)
        loops.low(values, likely, low)
        among = low[:few]
    kth: np.floating = np.partition(among, place)[place]
    return kth


def warm(dtype: type[np.unsignedinteger]) -> None:
    """Compile what long vectors need beside that which short ones call too."""
    values, positions = np.zeros(2, np.float32), np.zeros(2, dtype)
    loops.trim(values, positions, values[0], 1)
    loops.low(values, values[0], np.empty(3, np.float32))
