"""Frames that nobody waits for: a box for each link, from which an agent takes what has come whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from mpidcl.errors import RequestError
from mpidcl.network.frames.frame import Address, Head, Packed, close_frame, open_head, pack, told_number
from mpidcl.network.frames.message import Array
from mpidcl.network.requests import Arrival, Arrived, Leave, Leaving, Outgoing
from mpidcl.network.schedule.topology import Link
from mpidcl.network.services import Answer, Service

LAST = 1
"""Leg, in its address, of a frame after which no other comes."""
MOST = 64
"""Frames of a link that may still leave, or lie in its box: whoever sends more than are taken must leave
some out, or memory would have no bound."""


class Coming:
    """A frame whose head is here. `close` is called once for itself, and once for all that is opened."""

    __slots__ = ("_box", "_open", "head", "link", "raw")

    def __init__(self, box: Box, link: Link, head: Head, raw: list[Array]) -> None:
        self._box, self._open, self.link, self.head, self.raw = box, 1, link, head, raw

    def open(self) -> None:
        """Something more has to come."""
        self._open += 1

    def close(self) -> None:
        """One thing has come."""
        self._open -= 1
        if not self._open:
            self._box.wake(self.link)

    @property
    def whole(self) -> bool:
        """Whether all of it is here."""
        return not self._open

    @property
    def last(self) -> bool:
        """Whether no other comes after it."""
        return self.head.address.leg == LAST


def open_frame(link: Link, data: memoryview) -> Head:
    """Check a head that has come over a link, with whatever number. Raises FrameError."""
    return open_head(data, told_number(data, link.source, link.target), link.budget)


def packed_frame(out: Outgoing, last: bool, checksum_all: bool) -> Packed:
    """A frame that leaves. Raises FrameError where its head is too large."""
    address = Address(out.link.source, out.link.target, out.number, LAST if last else 0)
    return pack(address, out.entries, checksum_all)


class Box:
    """The frames of all links to the agents of one process, and the agents that wait for one."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._came: dict[int, deque[Coming]] = {}
        self._waiting: dict[int, Arrived] = {}
        self._named: dict[int, dict[int, Link]] = {}

    def clear(self) -> None:
        """Another run begins."""
        self._came.clear()
        self._waiting.clear()
        self._named.clear()

    def add(self, link: Link, head: Head, raw: list[Array]) -> Coming:
        """The head of the next frame of a link is here; `raw` may still be filled."""
        coming = Coming(self, link, head, raw)
        self._came.setdefault(link.index, deque()).append(coming)
        return coming

    def put(self, link: Link, packed: Packed) -> None:
        """A whole frame of an agent of this process, copied. Raises FrameError."""
        head = open_frame(link, memoryview(packed.head))
        self.add(link, head, [array.copy() for array in packed.raw]).close()

    def lying(self, link: Link) -> int:
        """How many frames of a link nobody has taken yet."""
        return len(self._came.get(link.index, ()))

    def ask(self, agent: int, request: Arrived) -> None:
        """Answer an agent, now or when a frame has come. Raises FrameError for a checksum that is wrong."""
        self._named.setdefault(agent, {}).update({link.index: link for link in request.links})
        found = [arrival for link in request.links for arrival in self._taken(link)]
        if request.wait and not found:
            self._waiting[agent] = request
            return
        for arrival in found:
            if arrival.last:
                del self._named[agent][arrival.link.index]
        self._answer(agent, found)

    def _taken(self, link: Link) -> Iterable[Arrival]:
        came = self._came.get(link.index)
        while came and came[0].whole:
            frame = came.popleft()
            entries = close_frame(frame.head, frame.raw)
            yield Arrival(link, frame.head.address.number, frame.last, entries)

    def wake(self, link: Link) -> None:
        """A frame of a link is whole: does its agent wait for it?"""
        request = self._waiting.get(link.target)
        if request is not None and self._came[link.index][0].whole and link in request.links:
            del self._waiting[link.target]
            self.ask(link.target, request)

    def waits_in(self, agent: int, request: Arrived) -> str:
        """For an error: what the agent waits for."""
        names = ", ".join(link.name for link in request.links)
        return f"at {request.when}: waits for the last frame on {names}"

    def ended(self, agent: int) -> None:
        """Raises RequestError when the agent has left a link open: its driver still listens there."""
        if open_links := self._named.pop(agent, {}):
            names = ", ".join(link.name for link in open_links.values())
            raise RequestError(
                f"agent {agent} should take frames until the last of each link has come. Found none on"
                f" {names}."
            )


class LocalMailbox(Service[Leave | Leaving | Arrived]):
    """All agents in one process: a frame that leaves is in the box at once, copied."""

    answers = (Leave, Leaving, Arrived)

    def __init__(self, answer: Answer, checksum_all: bool) -> None:
        self._answer, self._checksum_all, self._box = answer, checksum_all, Box(answer)

    def begin(self, agents: Iterable[int]) -> None:
        self._box.clear()

    def ask(self, agent: int, request: Leave | Leaving | Arrived) -> None:
        if isinstance(request, Arrived):
            self._box.ask(agent, request)
        elif isinstance(request, Leaving):
            self._answer(agent, tuple(self._box.lying(link) for link in request.links))
        else:
            for out in request.outgoing:
                self._box.put(out.link, packed_frame(out, request.last, self._checksum_all))
            self._answer(agent, ())

    def waits_in(self, agent: int, request: Leave | Leaving | Arrived) -> str:
        return self._box.waits_in(agent, request) if isinstance(request, Arrived) else "waits for nothing"

    def ended(self, agent: int) -> None:
        self._box.ended(agent)
