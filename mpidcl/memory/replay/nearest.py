"""The stored rows of all agents that are nearest to some vectors. Here too owners send, and nobody asks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import ReplayError
from mpidcl.memory.replay.blocks import runs
from mpidcl.memory.replay.share import Indices, Records, Share
from mpidcl.memory.replay.shared import NONE, SharedReplay
from mpidcl.network.requests import Asking, Gather, Post, Take
from mpidcl_kernels.base.types import View
from mpidcl_kernels.nearest import Metric, nearest_rows

Doubles = NDArray[np.float64]


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
    Rows are those that were stored by the last push. Raises ReplayError for a column that has no such rows.
    """
    mine = _checked(replay, queries, k, column, metric)
    when = f"nearest rows after step {replay.step}"
    asked = [mine] if replay.agents == 1 else (yield Gather(when, replay.next_number(), mine))
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


def _checked(replay: SharedReplay, queries: View | None, k: int, column: str, metric: str) -> View:
    known = {one.name: one for one in replay.settings.columns}
    if column not in known or np.dtype(known[column].dtype) not in (np.float32, np.float64):
        floats = [name for name, one in known.items() if np.dtype(one.dtype) in (np.float32, np.float64)]
        raise ReplayError(
            f"`column` should be one of float32 or float64: {', '.join(floats) or 'there is none'}."
            f" Found {column}."
        )
    if k < 1 or metric not in ("cosine", "euclidean"):
        raise ReplayError(
            f'`k` should be at least 1 and `metric` "cosine" or "euclidean". Found {k} and "{metric}".'
        )
    shape, dtype = known[column].shape, np.dtype(known[column].dtype)
    if queries is None:
        return np.zeros((0, int(np.prod(shape))), dtype)
    if queries.shape[1:] != shape or not np.can_cast(queries.dtype, dtype, "safe"):
        raise ReplayError(
            f"Queries for column `{column}` should be {dtype} {['q', *shape]}. Found {queries.dtype}"
            f" {list(queries.shape)}."
        )
    return np.ascontiguousarray(queries, dtype).reshape(len(queries), -1)


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
