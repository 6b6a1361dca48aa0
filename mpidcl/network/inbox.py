"""Frames within one process: a leg that is under way, and who waits for the next frame of which link."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mpidcl.network.frames.frame import Address, Entry, Head, Packed, close_frame, open_head
from mpidcl.network.frames.message import Array
from mpidcl.network.requests import Meet


class Leg:
    """A `Meet` that is under way: what has come for it, and how many things must still end.

    It is born open once, so that nothing ends before everything is posted.
    """

    __slots__ = ("_ended", "_open", "agent", "heads", "meet", "raw")

    def __init__(self, agent: int, meet: Meet, ended: Callable[[Leg], None]) -> None:
        self.agent, self.meet, self._ended = agent, meet, ended
        self._open = 1 + len(meet.incoming)
        self.heads: list[Head | None] = [None] * len(meet.incoming)
        self.raw: list[list[Array]] = [[] for _ in meet.incoming]

    def open(self, times: int = 1) -> None:
        """Something more has to end."""
        self._open += times

    def close(self) -> None:
        """One thing has ended."""
        self._open -= 1
        if self._open == 0:
            self._ended(self)

    def read(self, place: int, head: memoryview) -> Head:
        """Check and keep the head of the frame at `place` of `incoming`. Raises FrameError."""
        link, number = self.meet.incoming[place]
        address = Address(link.source, link.target, number, self.meet.leg)
        found = self.heads[place] = open_head(head, address, link.budget)
        return found

    def take(self, place: int, packed: Packed) -> None:
        """A whole frame has come for `place`. Raises FrameError when it is not the one that is wanted."""
        self.read(place, memoryview(packed.head))
        self.raw[place] = list(packed.raw)
        self.close()

    def missing(self) -> list[str]:
        """Links from which a frame should still come."""
        pairs = zip(self.meet.incoming, self.heads, strict=True)
        return [link.name for (link, _), head in pairs if head is None]

    def reply(self) -> list[tuple[Entry, ...]]:
        """The messages of every frame that was named, and of no other."""
        return [
            close_frame(head, raw) for head, raw in zip(self.heads, self.raw, strict=True) if head is not None
        ]


class Inbox:
    """Frames of links that end in this process, and legs that wait for them.

    A link carries its frames in order, and they are taken in order: the first that came belongs to the
    first that waits, who sees by its address whether it is the one that was named.
    """

    def __init__(self) -> None:
        self._came: dict[int, deque[Packed]] = {}
        self._wanted: dict[int, deque[tuple[Leg, int]]] = {}

    def put(self, link: int, packed: Packed) -> None:
        """A frame has come over the link of this index; wakes who waits for it. Raises FrameError."""
        if wanted := self._wanted.get(link):
            leg, place = wanted.popleft()
            leg.take(place, packed)
        elif (came := self._came.get(link)) is not None:
            came.append(packed)
        else:
            self._came[link] = deque((packed,))

    def want(self, link: int, leg: Leg, place: int) -> None:
        """A leg waits for the next frame of the link, which may be here already. Raises FrameError."""
        if came := self._came.get(link):
            leg.take(place, came.popleft())
        elif (wanted := self._wanted.get(link)) is not None:
            wanted.append((leg, place))
        else:
            self._wanted[link] = deque(((leg, place),))

    def clear(self) -> None:
        """Forget all of it: another run begins."""
        self._came.clear()
        self._wanted.clear()
