"""Posts over MPI: a rank tells every other one what its agents tell and what they send there, then sends it.

No size is a surprise: an array is received only when the sizes of both ends agree. Of a planned post both
ends know them from one plan: then a collective call carries what is told, and nothing else is said.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import CombineError
from mpidcl.network.mpi.pending import Countdown
from mpidcl.network.mpi.roll import RollCall
from mpidcl.network.mpi.tags import PLANNED, POST_HEAD, POST_REST, POSTED
from mpidcl.network.mpi.wire import Wire
from mpidcl.network.patience import DEADLINE_S
from mpidcl.network.requests import Post
from mpidcl.network.services import Answer
from mpidcl.network.together.calls import called
from mpidcl.network.together.posts import Posts, Round, Words, check_there, misfit

HEAD_WORDS = 128
"""int64 of a head: the number, k, how many arrays follow, and as much of the rest as there is room for."""
_FIXED = 3


class _Travelling:
    """A round on its way: what all agents tell, and what must still end."""

    def __init__(self, this: Round, agents: int, arrived: Callable[[Round, Words], None]) -> None:
        self.this, self.words = this, this.first().told.size
        self.told = np.zeros((agents, self.words), np.int64)
        self.ended = Countdown(lambda: arrived(this, self.told))


class _Layout(NamedTuple):
    """What comes in a planned round: `counts` of words of each rank, its number before those of its agents.

    `numbers [ranks]`, `words [agents, k]`: where they stand.
    """

    counts: list[int]
    numbers: Words
    words: Words


class MpiPosts(Posts):
    """Serves the posts of this rank's agents; `wire` is closed with it. Ranks without agents take no part."""

    def __init__(
        self,
        wire: Wire,
        rank_of: Sequence[int],
        answer: Answer,
        debug: bool = False,
        patience: Callable[[], float] = lambda: DEADLINE_S,
    ) -> None:
        super().__init__(answer, debug)
        self._wire, self._rank_of = wire, list(rank_of)
        self._roll, self._planned = RollCall(wire, patience), 0
        self._homes: dict[int, list[int]] = {}
        for agent, rank in enumerate(rank_of):
            self._homes.setdefault(rank, []).append(agent)
        self._others = [rank for rank in self._wire.others if rank in self._homes]
        self._ahead: dict[int, deque[_Travelling]] = {rank: deque() for rank in self._others}
        self._heads = {rank: np.zeros(HEAD_WORDS, np.int64) for rank in self._others}
        self._layouts: dict[int, _Layout] = {}

    def begin(self, agents: Iterable[int]) -> None:
        super().begin(agents)
        for ahead in self._ahead.values():
            ahead.clear()

    def _begin(self, this: Round) -> None:
        first, pairs, agents = this.first(), this.pairs(), len(self._rank_of)
        for source, target in pairs:
            check_there(first, source, target, range(agents))
            if source in this.posts and target in this.posts:
                this.carry(source, target)
        if first.planned:
            self._gather(this, pairs)
            return
        way = _Travelling(this, agents, self._arrived)
        for agent, posted in this.posts.items():
            way.told[agent] = posted.told
        for rank in self._others:
            way.ended.open()
            self._ahead[rank].append(way)
            if len(self._ahead[rank]) == 1:
                self._hear(rank)
            self._tell(way, rank)
        way.ended.close()

    def _gather(self, this: Round, pairs: Sequence[tuple[int, int]]) -> None:
        """A planned round: words of all ranks to all, and arrays to and from where both ends know them."""
        here, layout = self._wire.rank, self._layout(this.first())
        mine, every = np.empty(layout.counts[here], np.int64), np.empty(sum(layout.counts), np.int64)
        mine[0], at = this.number, 1
        for agent in self._homes[here]:
            told = this.posts[agent].told
            mine[at : at + told.size] = told
            at += told.size
        ended = Countdown(lambda: self._arrived(this, every[layout.words]))
        came = Countdown(lambda: self._all_told(this, every[layout.numbers], ended))
        ended.open()
        self._planned += 1
        self._roll.begin(this.number)
        self._wire.gather_words(mine, layout.counts, every, came)
        came.close()
        for source, target in pairs:  # in one order at both ends
            ranks = self._rank_of[source], self._rank_of[target]
            if ranks[0] == here != ranks[1]:
                self._wire.send(this.posts[source].out[target], ranks[1], PLANNED, ended)
            elif ranks[1] == here != ranks[0]:
                self._wire.receive(this.posts[target].into[source], ranks[0], PLANNED, ended)
        ended.close()

    def _layout(self, post: Post) -> _Layout:
        """Of rounds in which each agent tells as many words: made once, for steps are many."""
        words = post.told.size
        if words not in self._layouts:
            ranks = range(self._wire.size)
            idle = [rank for rank in ranks if rank not in self._homes]
            if idle:
                raise CombineError(f"{called(post)}: every rank should have an agent. Found none on {idle}.")
            counts = [1 + words * len(self._homes[rank]) for rank in ranks]
            numbers = np.cumsum([0, *counts[:-1]])
            places = np.empty((len(self._rank_of), words), np.int64)
            for rank in ranks:
                homes = self._homes[rank]
                places[homes] = numbers[rank] + 1 + np.arange(counts[rank] - 1).reshape(len(homes), words)
            self._layouts[words] = _Layout(counts, numbers, places)
        return self._layouts[words]

    def _all_told(self, this: Round, numbers: Words, ended: Countdown) -> None:
        this.complete_s = time.perf_counter()
        self._planned -= 1
        for rank, number in enumerate(numbers.tolist()):
            if number != this.number:
                raise CombineError(
                    f"{called(this.first())}: all agents should post the same numbers in the same order. "
                    f"Found {number} on rank {rank}."
                )
        ended.close()

    def poll(self) -> None:
        self._roll.poll(self._planned > 0)

    def _tell(self, way: _Travelling, rank: int) -> None:
        posts = way.this.posts
        arrays = [
            (source, target, array)
            for source in sorted(posts)
            for target, array in posts[source].out.items()
            if self._rank_of[target] == rank
        ]
        told = [posts[agent].told for agent in sorted(posts)]
        sizes = np.array([(source, target, array.nbytes) for source, target, array in arrays], np.int64)
        rest = np.concatenate([*told, sizes.reshape(-1)])
        head = np.zeros(HEAD_WORDS, np.int64)
        head[:_FIXED] = way.this.number, way.words, len(arrays)
        if rest.size <= HEAD_WORDS - _FIXED:
            head[_FIXED : _FIXED + rest.size] = rest
        self._wire.send(head, rank, POST_HEAD, way.ended)
        if rest.size > HEAD_WORDS - _FIXED:
            self._wire.send(rest, rank, POST_REST, way.ended)
        for _, _, array in arrays:
            self._wire.send(array, rank, POSTED, way.ended)

    def _hear(self, rank: int) -> None:
        """The head of the first round that is under way; the next one's only after its arrays are posted."""
        came = Countdown(lambda: self._head_came(rank))
        self._wire.receive(self._heads[rank], rank, POST_HEAD, came)
        came.close()

    def _head_came(self, rank: int) -> None:
        way, head = self._ahead[rank][0], self._heads[rank]
        number, words, arrays = (int(value) for value in head[:_FIXED])
        if number != way.this.number:
            raise CombineError(
                f"{called(way.this.first())}: all agents should post the same numbers in the same order. "
                f"Found {number} on rank {rank}."
            )
        homes = self._homes[rank]
        way.this.check_words(homes[0], words)
        size = words * len(homes) + 3 * arrays
        if size <= HEAD_WORDS - _FIXED:
            return self._know(rank, head[_FIXED : _FIXED + size])
        rest = np.empty(size, np.int64)
        came = Countdown(lambda: self._know(rank, rest))
        self._wire.receive(rest, rank, POST_REST, came)
        return came.close()

    def _know(self, rank: int, rest: NDArray[np.int64]) -> None:
        """All sizes are known: check them, and receive the arrays."""
        way = self._ahead[rank].popleft()
        homes, this = self._homes[rank], way.this
        told = way.words * len(homes)
        way.told[homes] = rest[:told].reshape(len(homes), way.words)
        missing = {(source, target) for source, target in this.pairs() if self._rank_of[source] == rank}
        for source, target, size in rest[told:].reshape(-1, 3).tolist():
            missing.discard((source, target))
            self._wire.receive(this.fits(source, target, size), rank, POSTED, way.ended)
        for source, target in missing:
            raise misfit(this.posts[target].post, source, target, 0, this.posts[target].into[source].nbytes)
        if self._ahead[rank]:
            self._hear(rank)
        way.ended.close()

    def _under_way(self) -> str:
        missing = sorted(self._roll.missing()) if self._planned else []
        return (
            f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
            if missing
            else self._wire.waits_for()
        )

    def awaited(self, agent: int, request: object) -> set[int]:
        missing = self._roll.missing() if self._planned else set()
        return missing or self._wire.awaited()

    @property
    def sent(self) -> tuple[int, int]:
        """Bytes that this rank has handed to MPI for posts, and the messages that carried them."""
        return self._wire.sent_bytes, self._wire.messages

    def close(self) -> None:
        if (
            not self._roll.asked
        ):  # else a word on its way would reach whoever gets the number of the wire next
            self._wire.close()
