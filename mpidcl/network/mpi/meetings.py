"""Meetings over MPI. Every frame is one small message, its head, and one message per large array.

Arrays travel straight from the owner's memory, since a `Meet` ends only when its sends have ended, unless it
is `copied`. What comes lies in buffers that are kept and used again: one for each link, leg, place among the
frames of the link that one `Meet` names, and array.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mpi4py import MPI

from mpidcl.network.frames.frame import HEAD_BYTES, Address, Packed, pack
from mpidcl.network.frames.message import Array
from mpidcl.network.inbox import Inbox, Leg
from mpidcl.network.mpi.copies import FrameService, allocate, link_failure, whole
from mpidcl.network.mpi.pending import Countdown, Pending, pieces
from mpidcl.network.requests import Meet, Outgoing
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.network.services import Answer
from mpidcl.network.waits import meet_wait


class _Leg(Leg):
    """A leg some of whose frames come from other ranks.

    `earlier[place]` is the frame of the same link that is named before; its arrays come first.
    """

    __slots__ = ("data", "earlier", "nth", "sent")

    def __init__(self, agent: int, meet: Meet, service: MpiMeetings) -> None:
        super().__init__(agent, meet, service.end)
        self.sent: list[Packed] = []
        self.nth = [0] * len(meet.incoming)
        self.earlier: dict[int, int] = {}
        self.data: dict[int, memoryview] = {}
        if len(meet.incoming) < 2:
            return
        last: dict[int, int] = {}
        for place, (link, _) in enumerate(meet.incoming):
            if (before := last.get(link.index)) is not None:
                self.earlier[place], self.nth[place] = before, self.nth[before] + 1
            last[link.index] = place


class MpiMeetings(FrameService[Meet]):
    """Serves the meetings of this rank's agents. `rank_of[agent]` says where every agent lives.

    Constructing it is collective: the communicator is duplicated.
    """

    answers = (Meet,)

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
        self._inbox = Inbox()
        self._legs: dict[int, _Leg] = {}
        self._buffers: dict[tuple[int, int, int, int], Array] = {}

    def begin(self, agents: Iterable[int]) -> None:
        self._inbox.clear()
        self._legs.clear()

    def ask(self, agent: int, request: Meet) -> None:
        leg = self._legs[agent] = _Leg(agent, request, self)
        for place, (link, _) in enumerate(request.incoming):
            if self._rank_of[link.source] == self._rank:
                self._inbox.want(link.index, leg, place)
            else:
                self._post_head(leg, place, link)
        for out in request.outgoing:
            address = Address(out.link.source, out.link.target, out.number, request.leg)
            packed = pack(address, out.entries, self._checksum_all)
            if self._rank_of[out.link.target] == self._rank:
                copies = tuple(array.copy() for array in packed.raw)
                self._inbox.put(out.link.index, Packed(packed.head, copies))
            elif request.copied:
                self._send_copies(out, packed)
            else:
                self._send(leg, out, packed)
        leg.close()

    def end(self, leg: Leg) -> None:
        """All that the leg waited for has ended."""
        del self._legs[leg.agent]
        self._answer(leg.agent, leg.reply())

    def waits_in(self, agent: int, request: Meet) -> str:
        return meet_wait(request, self._legs[agent].missing())

    def awaited(self, agent: int, request: Meet) -> set[int]:
        pairs = zip(request.incoming, self._legs[agent].heads, strict=True)
        links = [link for (link, _), head in pairs if head is None] or [link for link, _ in request.incoming]
        return {self._rank_of[link.source] for link in links} - {self._rank}

    def under_way(self) -> list[str]:
        """Links over which frames still leave whose `Meet` is over: they were copied."""
        return self._copies.under_way()

    # --- what leaves -------------------------------------------------------------------------------

    def _send(self, leg: _Leg, out: Outgoing, packed: Packed) -> None:
        rank, tag, failed = self._rank_of[out.link.target], self._tags[out.link.index], link_failure(out.link)
        self._pending.sending(self._comm.Isend(packed.head, rank, tag), leg.close, failed)
        parts = [piece for array in packed.raw for piece in pieces(array)]
        for part in parts:
            self._pending.sending(self._comm.Isend(part, rank, tag + 1), leg.close, failed)
        leg.open(1 + len(parts))
        leg.sent.append(packed)  # what is on its way must stay where it is

    def _send_copies(self, out: Outgoing, packed: Packed) -> None:
        rank, tag, failed = self._rank_of[out.link.target], self._tags[out.link.index], link_failure(out.link)
        left = self._copies.leaving(out.link)
        self._pending.sending(self._comm.Isend(packed.head, rank, tag), left, failed)
        for array in packed.raw:
            copy, gone = self._copies.of(out.link, array)
            left_too = Countdown(gone)
            for piece in pieces(copy):
                left_too.open()
                self._pending.sending(self._comm.Isend(piece, rank, tag + 1), left_too.close, failed)
            left_too.close()

    # --- what comes --------------------------------------------------------------------------------

    def _post_head(self, leg: _Leg, place: int, link: Link) -> None:
        buffer = self._buffer(link, leg, place, 0, HEAD_BYTES)
        request = self._comm.Irecv(buffer, self._rank_of[link.source], self._tags[link.index])
        self._pending.receiving(
            request, lambda size: self._head_came(leg, place, buffer.data[:size]), link_failure(link)
        )

    def _head_came(self, leg: _Leg, place: int, data: memoryview) -> None:
        """Post receives for the frame's arrays; after those of the frames of its link that come before."""
        leg.data[place] = data
        if leg.earlier:
            before = leg.earlier.get(place)
            if before is not None and leg.heads[before] is None:
                return
        self._post_arrays(leg, place)
        for later, before in leg.earlier.items():
            if before == place and later in leg.data:
                self._head_came(leg, later, leg.data[later])

    def _post_arrays(self, leg: _Leg, place: int) -> None:
        link, _ = leg.meet.incoming[place]
        head = leg.read(place, leg.data[place])
        rank, tag, failed = self._rank_of[link.source], self._tags[link.index] + 1, link_failure(link)
        for slot, size in enumerate(head.layout.raw_bytes, 1):
            array = self._buffer(link, leg, place, slot, size)[:size]
            leg.raw[place].append(array)
            for piece in pieces(array):
                leg.open()
                request = self._comm.Irecv(piece, rank, tag)
                self._pending.receiving(request, whole(link, piece.nbytes, leg.close), failed)
        leg.close()

    def _buffer(self, link: Link, leg: _Leg, place: int, slot: int, size: int) -> Array:
        key = (link.index, leg.meet.leg, leg.nth[place], slot)
        buffer = self._buffers.get(key)
        if buffer is None or buffer.nbytes < size:
            buffer = self._buffers[key] = allocate(link, size)
        return buffer
