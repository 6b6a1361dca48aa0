"""What combining gradients sends, from their numbers alone: the same count that the ranks' own ledger gives.

Without heads: a few dozen bytes for each pair of ranks and request.
"""

from __future__ import annotations

from mpidcl.network.together.blocks import block_share, column_share, travels_whole


def compare_bytes(
    floats: int, ranks: int, rank: int, rows: int, own: int, facts: int, gram: bool = True
) -> int:
    """Bytes that a rank sends to compare `rows` gradients with `facts` each, `own` of them its own.

    `gram`: whether a Gram matrix is made.
    """
    others = ranks - 1
    told = 4 * facts * own * others
    if travels_whole(floats, rows):
        return told + 4 * floats * own * others
    share, blocks = column_share(floats, ranks, rank), block_share(floats, ranks, rank)
    grams = gram * 8 * (blocks.stop - blocks.start) * rows * rows * others
    return int(told + grams + 4 * (floats - (share.stop - share.start)) * own)


def combine_bytes(floats: int, ranks: int, rank: int, rows: int) -> int:
    """Bytes that a rank sends to make one direction of `rows` gradients that were compared."""
    if travels_whole(floats, rows):
        return 0
    share = column_share(floats, ranks, rank)
    return int(4 * (share.stop - share.start) * (ranks - 1))
