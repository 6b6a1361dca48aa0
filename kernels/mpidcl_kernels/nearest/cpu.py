"""Nearest rows on the CPU: BLAS products rule most rows out, the others are scored exactly.

The products are rounded, but by how much is bounded, so no row of the true k is ruled out. What is kept was
scored in float64, in one fixed order: blocks, threads and the BLAS library cannot change a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpidcl_kernels.base.threads import for_pieces
from mpidcl_kernels.base.types import Floats, Index, Mask
from mpidcl_kernels.nearest import loops
from mpidcl_kernels.nearest.loops import CHUNK

Found = tuple[Index, Floats]

GROUP = 128  # queries per pass over the rows: bounds the buffers
PIECE = 1 << 14  # rows per piece of work for a thread
BLOCK = 1 << 18  # floats of rows per product, which stay in the cache until they are sifted
ALL = np.zeros((0, 0), bool)  # no mask


def search(queries: Floats, rows: Floats, k: int, cosine: bool, allowed: Mask | None) -> Found:
    """Index and score [q, k], the best first: cosines, or distances below zero. -1 and -inf: no more rows."""
    index = np.empty((len(queries), k), np.int64)
    score = np.empty((len(queries), k))
    for first in range(0, len(queries), GROUP):
        part = slice(first, first + GROUP)
        asked = Asked.of(queries[part], cosine)
        index[part], score[part] = _group(asked, rows, k, ALL if allowed is None else allowed[part])
    return index, score


def _group(asked: Asked, rows: Floats, k: int, allowed: Mask) -> Found:
    found: dict[int, Found] = {}

    def work(first: int, last: int) -> None:
        found[first] = _scan(asked, rows, first * PIECE, min(last * PIECE, len(rows)), k, allowed)

    for_pieces(work, -(-len(rows) // PIECE))
    index = np.concatenate([index for index, _ in found.values()], axis=1)
    score = np.concatenate([score for _, score in found.values()], axis=1)
    order = np.lexsort((index, -score))[:, :k]
    return np.take_along_axis(index, order, 1), np.take_along_axis(score, order, 1)


@dataclass(frozen=True)
class Asked:
    """Queries [q, d], and what the sifting needs of them.

    `columns` [d, q]: unit queries (cosine) or the queries. `margin`: a sum of n products in any order is off
    by at most n u times the lengths (Higham 2002, eq. 3.5); here n = CHUNK, then d / CHUNK, and u = eps / 2.
    Eight times that leaves room for the rounding of squares, lengths and limits. `sure`: queries for which
    the bound holds, because their squares and products neither overflow nor vanish.
    """

    queries: Floats
    columns: Floats
    cosine: bool
    lengths: Floats
    margin: float
    least: float
    sure: Mask

    @classmethod
    def of(cls, queries: Floats, cosine: bool) -> Asked:
        queries = np.array(queries, order="C")
        kind, width = queries.dtype, queries.shape[1]
        with np.errstate(all="ignore"):
            lengths = np.sqrt((queries.astype(np.float64) ** 2).sum(1))
            unit = queries / np.where(lengths > 0, lengths, 1)[:, None]
            least = 1e-30 if kind == np.float32 else 1e-200
            sure = (lengths == 0) | ((lengths**2 >= least) & (lengths**2 <= 1 / least))
        columns = np.ascontiguousarray((unit if cosine else queries).T, kind)
        margin = 4 * (min(CHUNK, width) + width // CHUNK + 16) * float(np.finfo(kind).eps)
        return cls(queries, columns, cosine, lengths, margin, least, sure)


def _scan(asked: Asked, rows: Floats, first: int, last: int, k: int, allowed: Mask) -> Found:
    """The best k of rows first..last for every query, as heaps."""
    best = np.full((len(asked.queries), k), -np.inf)
    index = np.full(best.shape, -1, np.int64)
    block = _Block(asked, max(64, min(4096, BLOCK // max(rows.shape[1], 1))))
    size = 64  # small at first: nothing can be ruled out before k rows are known
    with np.errstate(all="ignore"):
        while first < last:
            part = rows[first : min(first + size, last)]
            block.find(part, first, allowed, best, index)
            first, size = first + len(part), min(2 * size, block.most)
    return index, best


class _Block:
    """One thread's buffers for at most `most` rows at a time."""

    def __init__(self, asked: Asked, most: int) -> None:
        count, kind = len(asked.queries), asked.columns.dtype.type
        self.asked, self.most = asked, most
        self.dots, self.bases = np.empty((most, count), kind), np.empty(most, kind)
        self.slope, self.offset = np.empty(count, kind), np.empty(count, kind)
        self.who, self.which = np.empty(most * count, np.int32), np.empty(most * count, np.int32)
        self.scores = np.empty(most * count)
        self.range = (kind((1 - asked.margin) / 2), kind(asked.least), kind(1 / asked.least))
        self.exact = loops.cosine if asked.cosine else loops.euclidean
        self.limit(np.full((count, 1), -np.inf))

    def limit(self, best: Floats) -> None:
        a = self.asked
        loops.limits(best, a.lengths, a.sure, a.cosine, a.margin, a.least, self.slope, self.offset)

    def find(self, rows: Floats, first: int, allowed: Mask, best: Floats, index: Index) -> None:
        """Put those of `rows`, numbered from `first`, that belong there into the heaps."""
        asked, dots, bases = self.asked, self.dots[: len(rows)], self.bases[: len(rows)]
        products(rows, asked.columns, dots)
        loops.bases(rows, asked.cosine, *self.range, bases)
        count = loops.sift(bases, dots, allowed, first, self.slope, self.offset, self.who, self.which)
        if count:
            scores = self.scores[:count]
            self.exact(asked.queries, rows, asked.lengths, self.who, self.which, scores)
            loops.keep(scores, self.who, self.which, first, best, index)
            self.limit(best)


def products(rows: Floats, columns: Floats, out: Floats) -> None:
    """out = rows [b, d] times columns [d, q], in sums of at most CHUNK terms."""
    np.matmul(rows[:, :CHUNK], columns[:CHUNK], out=out)
    for start in range(CHUNK, len(columns), CHUNK):
        out += rows[:, start : start + CHUNK] @ columns[start : start + CHUNK]
