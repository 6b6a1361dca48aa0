"""`Post` and `Take`: words of all to all, and arrays of known sizes, that travel while agents work."""

from __future__ import annotations

import time
import zlib
from abc import abstractmethod
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import CombineError, RequestError
from mpidcl.network.requests import Post, Take, Taken
from mpidcl.network.services import Answer, Service
from mpidcl.network.together.calls import called
from mpidcl.network.waits import together_wait

Words = NDArray[np.int64]
Bytes = NDArray[np.uint8]


class Posted:
    """One agent's `Post` that is under way: its arrays as flat bytes, none of them empty.

    `copy`: what leaves is copied. `debug`: remember what leaves.
    """

    def __init__(self, agent: int, post: Post, copy: bool, debug: bool) -> None:
        _check(agent, post)
        self.agent, self.post, self.told = agent, post, post.told.copy()
        self._source = {peer: _flat(array) for peer, array in sorted(post.out.items()) if array.nbytes}
        self.out = {peer: a.copy() for peer, a in self._source.items()} if copy else self._source
        self.into = {peer: _flat(array) for peer, array in sorted(post.into.items()) if array.nbytes}
        self._sums = {peer: zlib.crc32(a.data) for peer, a in self._source.items()} if debug else {}

    def check_unchanged(self) -> None:
        """Raises CombineError when an array of `out` is not what it was; only with `debug`."""
        for peer, crc in self._sums.items():
            if zlib.crc32(self._source[peer].data) != crc:
                raise CombineError(
                    f"{called(self.post)}: agent {self.agent} should leave its array for agent {peer} as it "
                    "is until it has taken the post. It changed."
                )


class Round:
    """One number: the posts of this process's agents, and who of them has asked to take it, and when.

    `complete_s`: when all agents of all processes had posted, by the clock of this process.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.posts: dict[int, Posted] = {}
        self.takers: dict[int, float] = {}
        self.complete_s: float | None = None
        self.told: Words | None = None

    def first(self) -> Post:
        """The post of the lowest agent, for an error."""
        return self.posts[min(self.posts)].post

    def pairs(self) -> list[tuple[int, int]]:
        """(source, target) of all arrays that agents here send or want."""
        out = {(agent, peer) for agent, posted in self.posts.items() for peer in posted.out}
        return sorted(out | {(peer, agent) for agent, posted in self.posts.items() for peer in posted.into})

    def check_words(self, agent: int, words: int) -> None:
        """Raises CombineError when `agent` tells another number of words than the agents here."""
        first = self.first()
        if words != first.told.size:
            raise CombineError(
                f"{called(first)}: all agents should tell as many words. Found {first.told.size} of agent "
                f"{min(self.posts)} and {words} of agent {agent}."
            )

    def check_planned(self, agent: int, post: Post) -> None:
        """Raises CombineError when some agents here say that a round is planned, and others do not."""
        if post.planned != self.first().planned:
            raise CombineError(
                f"{called(post)}: all agents should say whether a post is planned. Found {post.planned} of "
                f"agent {agent} and {not post.planned} of others."
            )

    def fits(self, source: int, target: int, sent: int) -> Bytes:
        """Where `target`, which lives here, wants the `sent` bytes of `source`. Raises CombineError."""
        posted = self.posts[target]
        into = posted.into.get(source, _NOTHING)
        if into.nbytes != sent:
            raise misfit(posted.post, source, target, sent, into.nbytes)
        return into

    def carry(self, source: int, target: int) -> None:
        """Fill what `target` wants of `source`; both live here. Raises CombineError."""
        array = self.posts[source].out.get(target, _NOTHING)
        self.fits(source, target, array.nbytes)[:] = array


_NOTHING = np.empty(0, np.uint8)


def misfit(post: Post, source: int, target: int, sent: int, wanted: int) -> CombineError:
    """The error of two ends that do not agree on the size of an array."""
    return CombineError(
        f"{called(post)}: agent {target} should expect as many bytes of agent {source} as are sent to it. "
        f"Found {wanted} in its `into` and {sent} in the `out` of the other."
    )


class Posts(Service[Post | Take]):
    """What both drivers do with posts. `copies`: of what leaves; `debug`: see that nobody changes that."""

    answers = (Post, Take)
    copies = False

    def __init__(self, answer: Answer, debug: bool = False) -> None:
        self._answer, self._debug = answer, debug
        self._agents: frozenset[int] = frozenset()
        self._rounds: dict[int, Round] = {}
        self._last: dict[int, int] = {}

    def begin(self, agents: Iterable[int]) -> None:
        self._agents = frozenset(agents)
        self._rounds, self._last = {}, {}

    def ask(self, agent: int, request: Post | Take) -> None:
        """Raises RequestError for a number that was posted before, or is taken without having been posted."""
        if isinstance(request, Post):
            self._post(agent, request)
        else:
            self._take(agent, request)

    def _post(self, agent: int, post: Post) -> None:
        last = self._last.get(agent)
        if last is not None and post.number <= last:
            raise RequestError(
                f"{called(post)}: numbers of agent {agent} should grow. Found {post.number} after {last}."
            )
        self._last[agent] = post.number
        this = self._rounds.setdefault(post.number, Round(post.number))
        this.posts[agent] = Posted(agent, post, self.copies, self._debug)
        this.check_words(agent, post.told.size)
        this.check_planned(agent, post)
        self._answer(agent, ())
        if len(this.posts) == len(self._agents):
            self._begin(this)

    @abstractmethod
    def _begin(self, this: Round) -> None:
        """All agents of this process have posted: let everything travel, then call `_arrived`."""

    def _arrived(self, this: Round, told: Words) -> None:
        """Everything of a round is there, `told [agents, k]` too, and has left."""
        this.told = told
        if this.complete_s is None:
            this.complete_s = time.perf_counter()
        for agent in sorted(this.takers):
            self._hand_over(agent, this)

    def _take(self, agent: int, take: Take) -> None:
        this = self._rounds.get(take.number)
        if this is None or agent not in this.posts:
            raise RequestError(
                f"{called(take)}: agent {agent} should have posted number {take.number} before."
            )
        this.takers[agent] = time.perf_counter()
        if this.told is not None:
            self._hand_over(agent, this)

    def _hand_over(self, agent: int, this: Round) -> None:
        assert this.told is not None and this.complete_s is not None
        late_s = max(0.0, this.complete_s - this.takers[agent])
        this.posts.pop(agent).check_unchanged()
        if not this.posts:
            del self._rounds[this.number]
        self._answer(agent, Taken(this.told.copy(), late_s))

    def waits_in(self, agent: int, request: Post | Take) -> str:
        this = self._rounds.get(request.number)
        there = this is None or this.told is not None
        missing = [] if there or this is None else sorted(self._agents - this.posts.keys())
        return together_wait(request, missing, self._under_way())

    def _under_way(self) -> str:
        return "the rest of what is on its way"

    def ended(self, agent: int) -> None:
        for this in self._rounds.values():
            if agent in this.posts:
                raise RequestError(
                    f"{called(this.posts[agent].post)}: agent {agent} should take it before its life ends."
                )


class LocalPosts(Posts):
    """All agents live in this process: arrays are copied when they are posted, and again when all have."""

    copies = True

    def _begin(self, this: Round) -> None:
        for source, target in this.pairs():
            check_there(this.first(), source, target, this.posts)
            this.carry(source, target)
        self._arrived(this, np.stack([this.posts[agent].told for agent in sorted(this.posts)]))


def check_there(post: Post, source: int, target: int, agents: Iterable[int]) -> None:
    """Raises CombineError when one end of an array is no agent of the run."""
    for agent in (source, target):
        if agent not in agents:
            raise CombineError(
                f"{called(post)}: arrays should travel between agents of the run. "
                f"Found one from agent {source} to agent {target}, and no agent {agent}."
            )


def _check(agent: int, post: Post) -> None:
    told = post.told
    if told.dtype != np.int64 or told.ndim != 1:
        raise CombineError(
            f"{called(post)}: told of agent {agent} should be a vector of int64. "
            f"Found {told.dtype} of shape {list(told.shape)}."
        )
    for name, arrays in (("out", post.out), ("into", post.into)):
        for peer, array in arrays.items():
            flags = array.flags
            if array.dtype.hasobject or not (flags.carray if name == "into" else flags.c_contiguous):
                raise CombineError(
                    f"{called(post)}: {name}[{peer}] of agent {agent} should be contiguous"
                    f"{', writable' * (name == 'into')} and of numbers. Found {array.dtype} of shape "
                    f"{list(array.shape)} and strides {list(array.strides)}."
                )


def _flat(array: NDArray[np.generic]) -> Bytes:
    return array.reshape(-1).view(np.uint8)
