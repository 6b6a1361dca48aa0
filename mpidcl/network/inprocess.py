"""All agents in one process: what the MPI driver must equal bit for bit, and the way to test without MPI."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from mpidcl.errors import DeadlockError, FrameError
from mpidcl.network.frames.frame import Address, Packed, pack
from mpidcl.network.frames.message import Array
from mpidcl.network.inbox import Inbox, Leg
from mpidcl.network.mailbox import LocalMailbox
from mpidcl.network.requests import Halt, Life, Meet, Pulse, Saved
from mpidcl.network.services import Answer, Served, Service
from mpidcl.network.stopping import Stopping
from mpidcl.network.together.local import LocalTogether
from mpidcl.network.together.posts import LocalPosts
from mpidcl.network.waits import DEBUG, describe_waits, meet_wait


class InProcessDriver(Served):
    """Drives every agent in turn. Frames go through the same codec as over MPI and are always copied."""

    def __init__(
        self,
        checksum_all: bool = False,
        on_saved: Callable[[Saved], None] | None = None,
        stopping: Stopping | None = None,
    ) -> None:
        super().__init__()
        debug = bool(os.environ.get(DEBUG))
        self._offer(
            LocalMeetings(self._answer, checksum_all, debug),
            LocalMailbox(self._answer, checksum_all),
            LocalTogether(self._answer, debug),
            LocalPosts(self._answer, debug),
            LocalControl(self._answer, on_saved, stopping or Stopping()),
        )

    def drive(self, lives: dict[int, Life]) -> dict[int, Any]:
        """Run all agents to their end. Raises DeadlockError when all wait for what nobody sends."""
        return self._live(lives)

    def _wait(self) -> None:
        raise DeadlockError("nothing can arrive any more; " + describe_waits(self._waits()))

    def close(self) -> None:
        """Nothing is held."""


class LocalMeetings(Service[Meet]):
    """Hands every frame, copied, to who waits for it. `debug`: see that none changes in a meeting."""

    answers = (Meet,)

    def __init__(self, answer: Answer, checksum_all: bool, debug: bool) -> None:
        self._answer, self._checksum_all, self._debug = answer, checksum_all, debug
        self._inbox = Inbox()
        self._legs: dict[int, Leg] = {}
        self._lent: dict[int, list[tuple[Array, int]]] = {}

    def begin(self, agents: Iterable[int]) -> None:
        self._inbox.clear()
        self._legs.clear()
        self._lent.clear()

    def ask(self, agent: int, request: Meet) -> None:
        if not request.incoming and not self._debug:  # nothing comes, and nobody looks at what was lent
            self._send(agent, request)
            self._answer(agent, [])
            return
        leg = self._legs[agent] = Leg(agent, request, self._end)
        self._send(agent, request)
        for place, (link, _) in enumerate(request.incoming):
            self._inbox.want(link.index, leg, place)
        leg.close()

    def _send(self, agent: int, request: Meet) -> None:
        for out in request.outgoing:
            link = out.link
            address = Address(link.source, link.target, out.number, request.leg)
            packed = pack(address, out.entries, self._checksum_all)
            if packed.raw:
                if self._debug and not request.copied:
                    lent = self._lent.setdefault(agent, [])
                    lent += [(array, zlib.crc32(array.data)) for array in packed.raw]
                packed = Packed(packed.head, tuple(array.copy() for array in packed.raw))
            self._inbox.put(link.index, packed)

    def _end(self, leg: Leg) -> None:
        del self._legs[leg.agent]
        for array, crc in self._lent.pop(leg.agent, ()):
            if zlib.crc32(array.data) != crc:
                raise FrameError(
                    f"agent {leg.agent}: an array changed while it was on its way ({leg.meet.when})."
                )
        self._answer(leg.agent, leg.reply())

    def waits_in(self, agent: int, request: Meet) -> str:
        return meet_wait(request, self._legs[agent].missing())


class LocalControl(Service[Saved | Pulse | Halt]):
    """All that rank 0 would have to hear is known here: everything is answered at once, by an empty list."""

    answers = (Saved, Pulse, Halt)

    def __init__(self, answer: Answer, on_saved: Callable[[Saved], None] | None, stopping: Stopping) -> None:
        self._answer, self._on_saved, self._stopping = answer, on_saved, stopping

    def ask(self, agent: int, request: Saved | Pulse | Halt) -> None:
        if isinstance(request, Saved) and self._on_saved is not None:
            self._on_saved(request)
        elif isinstance(request, Halt):
            self._stopping.agree(self._stopping.furthest())
        self._answer(agent, [])

    def waits_in(self, agent: int, request: Saved | Pulse | Halt) -> str:
        return "waits for nothing"
