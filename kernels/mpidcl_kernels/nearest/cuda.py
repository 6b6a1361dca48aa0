"""Nearest rows on a GPU: all scores of a block of rows in float64, then the k best of its segments.

The scores need no sifting here: float64 keeps up with the memory on the GPUs that this is for.
"""

from __future__ import annotations

from mpidcl_kernels.base.device import C_NAMES, Device
from mpidcl_kernels.base.types import View

GROUP = 128  # queries at a time
BLOCK = 1 << 16  # rows at a time: their scores take 64 MB at most
SEGMENT = 4096  # scores of which one block of threads selects the k best
TILE = 32
THREADS = 256


def search(
    device: Device, queries: View, rows: View, k: int, cosine: bool, allowed: View | None
) -> tuple[View, View]:
    """Index and score [q, k] as `mpidcl_kernels.nearest.cpu.search`, on the device."""
    xp = device.xp
    index = xp.empty((len(queries), k), "int64")
    score = xp.empty((len(queries), k), "float64")
    for first in range(0, len(queries), GROUP):
        part = slice(first, first + GROUP)
        mask = None if allowed is None else xp.ascontiguousarray(allowed[part]).view("uint8")
        asked = xp.ascontiguousarray(queries[part])
        index[part], score[part] = _group(device, asked, rows, k, cosine, mask)
    return index, score


def _group(
    device: Device, queries: View, rows: View, k: int, cosine: bool, mask: View | None
) -> tuple[View, View]:
    xp, form = device.xp, C_NAMES[rows.dtype.name]
    score, pick = (device.kernel("nearest", name, REAL=form) for name in ("score_pairs", "pick_best"))
    (q, width), n, kept = queries.shape, len(rows), min(k, SEGMENT)
    lengths = xp.sqrt((queries.astype("float64") ** 2).sum(axis=1))
    line = kept * sum(_pieces(min(BLOCK, n - first), SEGMENT) for first in range(0, n, BLOCK))
    best, names = xp.empty((q, line), "float64"), xp.empty((q, line), "int64")
    scores, none = xp.empty(q * min(BLOCK, n), "float64"), xp.zeros(1, "int64")
    flags, at = none.view("uint8") if mask is None else mask, 0
    for first in range(0, n, BLOCK):
        block = xp.ascontiguousarray(rows[first : first + BLOCK])
        m, parts = len(block), _pieces(len(block), SEGMENT)
        sizes = (q, m, width, first, n, cosine, mask is not None)
        score((_pieces(m, TILE), _pieces(q, TILE)), THREADS, (queries, block, lengths, flags, scores, *sizes))
        where = (m, SEGMENT, kept, first, line, at)
        pick((parts, q), THREADS, (scores, none, best, names, *where, False))
        at += parts * kept
    found, index = xp.empty((q, k), "float64"), xp.empty((q, k), "int64")
    pick((1, q), THREADS, (best, names, found, index, line, line, k, 0, k, 0, True))
    return index, found


def _pieces(whole: int, part: int) -> int:
    return -(-whole // part)
