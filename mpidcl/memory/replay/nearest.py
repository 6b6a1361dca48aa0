"""The stored rows of all agents that are nearest to some vectors. Here too owners send, and nobody asks."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import ReplayError
from mpidcl.memory.replay.blocks import runs
from mpidcl.memory.replay.files import raise_first
from mpidcl.memory.replay.given import whole
from mpidcl.memory.replay.share import Indices, Records, Share
from mpidcl.memory.replay.shared import NONE, SharedReplay
from mpidcl.network.requests import Asking, Gather, Post, Take
from mpidcl_kernels.base.types import View
from mpidcl_kernels.nearest import Metric, nearest_rows

Doubles = NDArray[np.float64]
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_END = b"\n"
"""After the words of an agent, before its queries: JSON without indents has no such byte."""


class Nearest(NamedTuple):
    """For each of q queries the k nearest rows: `block [q * k]`, of which only the found ones mean something.

    score [q, k] float64, best first: cosines, or distances. owner [q, k]: who holds the row, -1 where fewer
    than k rows are stored.
    """

    block: Records
    score: Doubles
    owner: Indices


def nearest(
    replay: SharedReplay, queries: View | None, k: int, column: str, metric: Metric = "cosine"
) -> Asking[Nearest]:
    """The k rows of all agents whose `column` is nearest to each of `queries` [q, *shape], or of no query.

    Collective: every agent calls it, with queries of its own. Among equal scores the lower agent comes first.
    Rows are those that were stored by the last push. Raises ReplayError, on all agents, for what one of them
    cannot ask, and where they do not ask for the same.
    """
    when = f"nearest rows after step {replay.step}"
    k, asked = yield from _asked(replay, when, queries, k, column, metric)
    slots, score = _local(replay.share, np.concatenate(asked), k, column, metric)
    told = [score]
    if replay.agents > 1:
        told = yield Gather(when, replay.next_number(), score)
    owner, place, best = _winners(np.stack(told), metric)
    reader = np.repeat(np.arange(replay.agents), [len(part) * k for part in asked])
    block = yield from _carry(
        replay, when, owner.reshape(-1), reader, np.take_along_axis(slots, place, 1).reshape(-1)
    )
    own = slice(*np.searchsorted(reader, [replay.agent, replay.agent + 1]) // k)
    return Nearest(block, best[own], owner[own])


def _asked(
    replay: SharedReplay, when: str, queries: View | None, k: int, column: str, metric: str
) -> Asking[tuple[int, list[View]]]:
    """`k`, and the queries [q, floats] of every agent, when all have asked for the same."""
    error, mine = "", np.zeros((0, 0))
    try:
        k, mine = _checked(replay, queries, k, column, metric)
    except ReplayError as failed:
        if replay.agents == 1:
            raise
        error = str(failed)
    if replay.agents == 1:
        return k, [mine]
    what = "" if error else f"k = {k}, column = {column}, metric = {metric}"
    words = json.dumps({"error": error, "what": what}).encode()
    sent = np.frombuffer(words + _END + mine.tobytes(), np.uint8)
    parts = [one.tobytes().partition(_END) for one in (yield Gather(when, replay.next_number(), sent))]
    told = [json.loads(words) for words, _, _ in parts]
    raise_first(told)
    for rank, one in enumerate(told):
        if one["what"] != told[0]["what"]:
            raise ReplayError(
                f"All ranks should ask `nearest` for the same. Found {told[0]['what']} on rank 0 and"
                f" {one['what']} on rank {rank}."
            )
    return k, [np.frombuffer(rows, mine.dtype).reshape(-1, mine.shape[1]) for _, _, rows in parts]


def _carry(
    replay: SharedReplay, when: str, owner: Indices, reader: Indices, slots: Indices
) -> Asking[Records]:
    """Rows [m] for this agent in order, of all rows [n] that have an owner, a reader and a slot there."""
    me, share = replay.agent, replay.share
    block = np.zeros(int((reader == me).sum()), share.storage.type)
    sent = np.flatnonzero((owner == me) & (reader != me))
    leaving = share.records[slots[sent]]
    wanted = owner[reader == me]
    order = np.argsort(wanted, kind="stable")
    arrived = np.zeros(len(order), share.storage.type)
    into = {one: arrived[part] for one, part in runs(wanted[order]) if one not in (me, -1)}
    if replay.agents > 1:
        out = {one: leaving[part] for one, part in runs(reader[sent])}
        number = replay.next_number()
        yield Post(when, number, NONE, out, into, planned=True)
        yield Take(when, number)
    block[order] = arrived
    own = np.flatnonzero(wanted == me)
    block[own] = share.records[slots[reader == me][own]]
    return block


def _checked(
    replay: SharedReplay, queries: View | None, k: int, column: str, metric: str
) -> tuple[int, View]:
    known = {one.name: one for one in replay.settings.columns}
    floats = [name for name, one in known.items() if np.dtype(one.dtype) in FLOATS and 0 not in one.shape]
    if column not in floats:
        raise ReplayError(
            f"`column` should be one of float32 or float64: {', '.join(floats) or 'there is none'}."
            f" Found {column}."
        )
    k = whole("k", k, 1)
    if metric not in ("cosine", "euclidean"):
        raise ReplayError(f'`metric` should be "cosine" or "euclidean". Found {metric!r}.')
    shape, dtype = known[column].shape, np.dtype(known[column].dtype)
    if queries is None:
        return k, np.zeros((0, int(np.prod(shape))), dtype)
    if queries.shape[1:] != shape or not np.can_cast(queries.dtype, dtype, "safe"):
        raise ReplayError(
            f"Queries for column `{column}` should be {dtype} {['q', *shape]}. Found {queries.dtype}"
            f" {list(queries.shape)}."
        )
    return k, np.ascontiguousarray(queries, dtype).reshape(len(queries), int(np.prod(shape)))


def _local(share: Share, queries: View, k: int, column: str, metric: Metric) -> tuple[Indices, Doubles]:
    """Slots and scores [q, k] of the nearest rows of one share; where there are fewer, the worst score."""
    worst = -np.inf if metric == "cosine" else np.inf
    slots, score = np.zeros((len(queries), k), np.int64), np.full((len(queries), k), worst)
    few = min(k, len(share))
    if few and len(queries):
        used = share.used()
        rows = share.storage[column][used]
        index, best = nearest_rows(queries, rows.reshape(len(rows), -1), few, metric)
        where = index if isinstance(used, slice) else used[index]
        slots[:, :few], score[:, :few] = np.where(index < 0, 0, where), best
    return slots, score


def _winners(scores: Doubles, metric: Metric) -> tuple[Indices, Indices, Doubles]:
    """Owner, place among the owner's k, and score [q, k] of the best of `scores [agents, q, k]`."""
    agents, queries, k = scores.shape
    every = scores.transpose(1, 0, 2).reshape(queries, agents * k)
    order = np.argsort(-every if metric == "cosine" else every, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(every, order, axis=1)
    return np.where(np.isfinite(best), order // k, -1), order % k, best
