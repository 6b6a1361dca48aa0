"""Frames that nobody waits for, over MPI: a receive for the next head of each link is always posted.

A head is sent so that its send ends when the receiver has begun to take it (`Issend`): MPI would else take
any number of small frames for who is slow, and nobody would know how many. Arrays are received into memory
of their own, which the agent gets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mpi4py import MPI

from mpidcl.network.frames.frame import HEAD_BYTES, Packed
from mpidcl.network.frames.message import Array
from mpidcl.network.mailbox import MOST, Box, open_frame, packed_frame
from mpidcl.network.mpi.copies import FrameService, allocate, link_failure, whole
from mpidcl.network.mpi.pending import Countdown, Pending, pieces
from mpidcl.network.requests import Arrived, Leave, Leaving
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.network.services import Answer


class MpiMailbox(FrameService[Leave | Leaving | Arrived]):
    """Of this rank's agents. `rank_of[agent]` says where every agent lives.

    Constructing it is collective: the communicator is duplicated.
    """

    answers = (Leave, Leaving, Arrived)

    def __init__(
        self,
        comm: MPI.Intracomm,
        pending: Pending,
        topology: Topology,
        rank_of: Sequence[int],
        answer: Answer,
        checksum_all: bool = False,
    ) -> None:
        super().__init__(comm, pending, topology, rank_of, answer, checksum_all)
        self._box = Box(answer)
        self._leaving: Counter[int] = Counter()
        self._names: dict[int, str] = {}
        self._heads: dict[int, Array] = {}  # link -> where its next head comes
        self._full: set[int] = set()  # links with MOST frames that nobody has taken: nothing is received
        self._over: set[int] = set()  # links whose last head has come

    def begin(self, agents: Iterable[int]) -> None:
        self._box.clear()
        self._over.clear()

    def ask(self, agent: int, request: Leave | Leaving | Arrived) -> None:
        if isinstance(request, Arrived):
            self._listen(request.links)
            self._see_what_came()
            self._box.ask(agent, request)
            self._listen(request.links)
        elif isinstance(request, Leaving):
            if any(self._still(link) >= MOST for link in request.links):
                self._pending.poll()
            self._answer(agent, tuple(self._still(link) for link in request.links))
        else:
            for out in request.outgoing:
                packed = packed_frame(out, request.last, self._checksum_all)
                if self._rank_of[out.link.target] == self._rank:
                    self._box.put(out.link, packed)
                else:
                    self._send(out.link, packed)
            self._answer(agent, ())

    def waits_in(self, agent: int, request: Leave | Leaving | Arrived) -> str:
        return self._box.waits_in(agent, request) if isinstance(request, Arrived) else "waits for nothing"

    def awaited(self, agent: int, request: Leave | Leaving | Arrived) -> set[int]:
        links = request.links if isinstance(request, Arrived) else ()
        return {self._rank_of[link.source] for link in links} - {self._rank}

    def ended(self, agent: int) -> None:
        self._box.ended(agent)

    def under_way(self) -> list[str]:
        """Links over which frames still leave."""
        return [self._names[index] for index, count in self._leaving.items() if count]

    # --- what leaves -------------------------------------------------------------------------------

    def _still(self, link: Link) -> int:
        return self._leaving[link.index] + self._box.lying(link)

    def _send(self, link: Link, packed: Packed) -> None:
        rank, tag, failed = self._rank_of[link.target], self._tags[link.index], link_failure(link)
        self._leaving[link.index] += 1
        self._names[link.index] = link.name
        frame = Countdown(lambda: self._gone(link))
        frame.open()
        self._pending.sending(self._comm.Issend(packed.head, rank, tag), frame.close, failed)
        for array in packed.raw:
            copy, given_back = self._copies.of(link, array)
            parts = Countdown(given_back)
            for piece in pieces(copy):
                parts.open()
                frame.open()
                request = self._comm.Isend(piece, rank, tag + 1)
                self._pending.sending(request, _both(parts, frame), failed)
            parts.close()
        frame.close()

    def _gone(self, link: Link) -> None:
        self._leaving[link.index] -= 1

    # --- what comes --------------------------------------------------------------------------------

    def _see_what_came(self) -> None:
        """Up to a look that finds nothing: on a crowded machine such a look gives the core away."""
        for _ in range(2 * MOST):
            if not self._pending.poll():
                return

    def _listen(self, links: Sequence[Link]) -> None:
        """A receive for the next head of each of these links, where there is none."""
        for link in links:
            if self._rank_of[link.source] == self._rank or link.index in self._over:
                continue
            if link.index not in self._heads:
                self._heads[link.index] = allocate(link, HEAD_BYTES)
                self._post(link)
            elif link.index in self._full and self._box.lying(link) < MOST:
                self._full.discard(link.index)
                self._post(link)

    def _post(self, link: Link) -> None:
        request = self._comm.Irecv(
            self._heads[link.index], self._rank_of[link.source], self._tags[link.index]
        )
        self._pending.receiving(request, lambda size: self._head_came(link, size), link_failure(link))

    def _head_came(self, link: Link, size: int) -> None:
        data = bytearray(self._heads[link.index][:size].data)
        frame = self._box.add(link, open_frame(link, memoryview(data)), [])
        rank, tag, failed = self._rank_of[link.source], self._tags[link.index] + 1, link_failure(link)
        for length in frame.head.layout.raw_bytes:
            array = allocate(link, length)
            frame.raw.append(array)
            for piece in pieces(array):
                frame.open()
                request = self._comm.Irecv(piece, rank, tag)
                self._pending.receiving(request, whole(link, piece.nbytes, frame.close), failed)
        if frame.last:
            del self._heads[link.index]
            self._over.add(link.index)
        elif self._box.lying(link) < MOST:
            self._post(link)
        else:
            self._full.add(link.index)
        frame.close()


def _both(first: Countdown, second: Countdown) -> Callable[[], None]:
    def close() -> None:
        first.close()
        second.close()

    return close
