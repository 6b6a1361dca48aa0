"""Drives this rank's agents over MPI: non-blocking point-to-point only, one waiting loop, no barrier.

Every frame is one small message (its head) and one message per large array, straight from the owner's
memory; in `lockstep` a meeting ends only when its sends have completed, so nothing is copied. Received
arrays lie in buffers that are kept per link and reused at every use. What all agents ask together
(`Compare`, `Combine`, `Gather`) is served by the same loop.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI

from mpidcl.base.notices import say
from mpidcl.errors import DeadlockError, FrameError
from mpidcl.network.frames.frame import HEAD_BYTES, Address, Head, Packed, close_frame, open_head, pack
from mpidcl.network.frames.message import Array
from mpidcl.network.mpi.control import Control
from mpidcl.network.mpi.pending import Failed, Pending, leave_to_mpi, pieces
from mpidcl.network.mpi.together import MpiTogether
from mpidcl.network.patience import LOST, Patience, where_they_are
from mpidcl.network.requests import Halt, Life, Meet, Outgoing, Pulse, Reply, Saved, resume
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.network.stopping import Stopping
from mpidcl.network.together.calls import Together
from mpidcl.network.waits import DEBUG, describe_waits, meet_wait

SPIN_S = 2e-4
"""Seconds of waiting before the loop lets others have the core; there may be more ranks than cores."""
YIELD_S = 2e-3
"""Seconds of waiting before it sleeps, each time for a twentieth of the wait so far."""
LONGEST_SLEEP_S = 1e-3


class _Leg:
    """One leg of one agent that is under way: what has come, and how many operations are still open."""

    def __init__(self, agent: int, meet: Meet, close_one: Callable[[_Leg], None]) -> None:
        self.agent, self.meet = agent, meet
        self.open = 0
        self.close_one = lambda: close_one(self)
        self.heads: list[Head | None] = [None] * len(meet.incoming)
        self.raw: list[list[Array]] = [[] for _ in meet.incoming]
        self.sent: list[Packed] = []

    def missing(self) -> list[str]:
        return [
            link.name for (link, _), head in zip(self.meet.incoming, self.heads, strict=True) if head is None
        ]

    def reply(self) -> Reply:
        return [
            close_frame(head, raw) for head, raw in zip(self.heads, self.raw, strict=True) if head is not None
        ]


_Waiting = _Leg | Together | Halt
HALT_TIMES = 10
"""So many deadlines later a rank gives up of which all agents have halted."""
HALT_WAIT = "waits for the others to say where all stop or save"


class MpiDriver:
    """The driver of one rank. `rank_of[agent]` says where every agent lives.

    `deadline` (seconds without any arrival while every agent of this rank waits; None: see Patience) raises
    DeadlockError. `hosts`: of each rank the name of its machine, for that.
    `on_saved` is called on rank 0 for every agent's part of a checkpoint.
    Constructing it is collective over `comm` (three communicators are duplicated).
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        topology: Topology,
        rank_of: Sequence[int],
        checksum_all: bool = False,
        deadline: float | None = None,
        on_saved: Callable[[Saved], None] | None = None,
        stopping: Stopping | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        self._comm = comm.Dup()
        self._stopping = stopping or Stopping()
        self._control = Control(comm, on_saved, self._stopping)
        self._rank, self._rank_of = self._comm.rank, rank_of
        self._checksum_all, self._patience, self._hosts = checksum_all, Patience(deadline), list(hosts)
        self._tags = link_tags(topology, rank_of, self._comm.Get_attr(MPI.TAG_UB))
        self._pending = Pending()
        self._together = MpiTogether(comm, self._pending, rank_of, self._answer, bool(os.environ.get(DEBUG)))
        self._local: dict[tuple[int, int], Packed] = {}
        self._expected: dict[tuple[int, int], tuple[_Leg, int]] = {}
        self._buffers: dict[tuple[int, int, int], Array] = {}
        self._done: deque[tuple[int, Reply]] = deque()
        self._halted: dict[int, int] = {}
        self._failed = False

    @property
    def together(self) -> MpiTogether:
        """Serves what all agents ask together; knows how many bytes this rank sent for it."""
        return self._together

    def drive(self, lives: dict[int, Life]) -> dict[int, Any]:
        """Run this rank's agents to their end. Collective at the very end only: rank 0 hears from all."""
        try:
            return self._drive(lives)
        except BaseException:
            self._failed = True
            leave_to_mpi(self)
            raise

    def _drive(self, lives: dict[int, Life]) -> dict[int, Any]:
        results: dict[int, Any] = {}
        waiting: dict[int, _Waiting] = {}
        ready: deque[tuple[int, Reply | None]] = deque((agent, None) for agent in sorted(lives))
        self._together.begin(lives)
        while ready or waiting:
            if self._halted:
                self._end_halt()
            if not ready:
                self._wait(waiting)
            while self._done:
                agent, reply = self._done.popleft()
                del waiting[agent]
                ready.append((agent, reply))
            if ready:
                self._resume(lives, ready, waiting, results)
        self._control.finish(self._wait_for_others)
        return results

    def _wait_for_others(self, waited: float) -> None:
        """Their agents may have much more to do, so nobody gives up here."""
        if self._rank == 0 and self._patience.notices(waited):
            say(f"mpidcl: the agents of rank 0 are done since {waited:.0f} s; it waits for other ranks.")
        pause(waited)

    def close(self) -> None:
        """Free the duplicated communicators. Collective. Where `drive` has failed nothing is freed."""
        if self._failed:
            return
        self._together.close()
        self._control.close()
        self._comm.Free()

    def _resume(
        self,
        lives: dict[int, Life],
        ready: deque[tuple[int, Reply | None]],
        waiting: dict[int, _Waiting],
        results: dict[int, Any],
    ) -> None:
        agent, reply = ready.popleft()
        began = time.monotonic()
        try:
            request = resume(agent, lives[agent], reply)
        except StopIteration as stop:
            results[agent] = stop.value
            return
        finally:
            self._patience.lived(time.monotonic() - began)
        if isinstance(request, Saved):
            self._control.saved(request)
            self._control.serve()  # the slowest rank never waits, and still must hear that others saved
            self._pending.poll()  # nor may an agent that meets nobody keep the others of its rank from theirs
            ready.append((agent, []))
        elif isinstance(request, Pulse):
            self._control.serve()
            self._pending.poll()
            ready.append((agent, []))
        elif isinstance(request, Halt):
            waiting[agent] = request
            self._halted[agent] = self._stopping.agreements
        elif isinstance(request, Meet):
            waiting[agent] = leg = _Leg(agent, request, self._close_one)
            self._begin(leg)
        else:
            waiting[agent] = request
            self._together.ask(agent, request)

    def _answer(self, agent: int, reply: Reply) -> None:
        self._done.append((agent, reply))

    def _begin(self, leg: _Leg) -> None:
        leg.open = 1  # held open until everything is posted
        for place, (link, number) in enumerate(leg.meet.incoming):
            leg.open += 1
            if self._rank_of[link.source] == self._rank:
                self._expect_local(leg, place, link, number)
            else:
                self._post_head(leg, place, link)
        for out in leg.meet.outgoing:
            self._send(leg, out)
        self._close_one(leg)

    def _close_one(self, leg: _Leg) -> None:
        leg.open -= 1
        if leg.open == 0:
            self._done.append((leg.agent, leg.reply()))

    # --- frames that stay on this rank -------------------------------------------------------------

    def _expect_local(self, leg: _Leg, place: int, link: Link, number: int) -> None:
        packed = self._local.pop((link.index, number), None)
        if packed is None:
            self._expected[link.index, number] = (leg, place)
        else:
            self._take_local(leg, place, packed)

    def _take_local(self, leg: _Leg, place: int, packed: Packed) -> None:
        leg.heads[place] = self._open(leg, place, memoryview(packed.head))
        leg.raw[place] = list(packed.raw)
        self._close_one(leg)

    def _deliver_local(self, out: Outgoing, packed: Packed) -> None:
        copy = Packed(packed.head, tuple(array.copy() for array in packed.raw))
        target = self._expected.pop((out.link.index, out.number), None)
        if target is None:
            self._local[out.link.index, out.number] = copy
        else:
            self._take_local(*target, copy)

    # --- frames to and from other ranks ------------------------------------------------------------

    def _send(self, leg: _Leg, out: Outgoing) -> None:
        address = Address(out.link.source, out.link.target, out.number, leg.meet.leg)
        packed = pack(address, out.entries, self._checksum_all)
        rank = self._rank_of[out.link.target]
        if rank == self._rank:
            return self._deliver_local(out, packed)
        tag, failed = self._tags[out.link.index], _failure(out.link)
        self._pending.sending(self._comm.Isend(packed.head, rank, tag), leg.close_one, failed)
        parts = [piece for array in packed.raw for piece in pieces(array)]
        for part in parts:
            self._pending.sending(self._comm.Isend(part, rank, tag + 1), leg.close_one, failed)
        leg.open += 1 + len(parts)
        leg.sent.append(packed)  # what is on its way must stay where it is
        return None

    def _post_head(self, leg: _Leg, place: int, link: Link) -> None:
        buffer = self._buffer(link, leg.meet.leg, 0, HEAD_BYTES)
        request = self._comm.Irecv(buffer, self._rank_of[link.source], self._tags[link.index])
        self._pending.receiving(
            request, lambda size: self._head_came(leg, place, buffer.data[:size]), _failure(link)
        )

    def _head_came(self, leg: _Leg, place: int, data: memoryview) -> None:
        link, _ = leg.meet.incoming[place]
        head = leg.heads[place] = self._open(leg, place, data)
        rank, tag, failed = self._rank_of[link.source], self._tags[link.index] + 1, _failure(link)
        for slot, size in enumerate(head.layout.raw_bytes, 1):
            array = self._buffer(link, leg.meet.leg, slot, size)[:size]
            leg.raw[place].append(array)
            for piece in pieces(array):
                leg.open += 1
                self._pending.receiving(
                    self._comm.Irecv(piece, rank, tag),
                    lambda size, want=piece.nbytes: self._piece_came(leg, link, size, want),  # type: ignore[misc]
                    failed,
                )
        self._close_one(leg)

    def _piece_came(self, leg: _Leg, link: Link, size: int, want: int) -> None:
        if size != want:
            raise FrameError(
                f"{link.name}: a large array should have {want} bytes. Found {size}: the frame is damaged."
            )
        self._close_one(leg)

    def _open(self, leg: _Leg, place: int, data: memoryview) -> Head:
        link, number = leg.meet.incoming[place]
        return open_head(data, Address(link.source, link.target, number, leg.meet.leg), link.budget)

    def _buffer(self, link: Link, leg: int, slot: int, size: int) -> Array:
        key = (link.index, leg, slot)
        buffer = self._buffers.get(key)
        if buffer is None or buffer.nbytes < size:
            buffer = self._buffers[key] = _allocate(link, size)
        return buffer

    # --- the one place that waits ------------------------------------------------------------------

    def _wait(self, waiting: dict[int, _Waiting]) -> None:
        """Until some agent can go on. Serves whatever arrives meanwhile."""
        last = time.monotonic()
        while not self._done:
            if self._pending.poll():
                self._patience.lived(time.monotonic() - last)
                last = time.monotonic()
                continue
            if self._halted:
                self._end_halt()
                if self._done:
                    return
            elif not self._pending:
                self._give_up(waiting, "nothing can arrive any more")
            waited = time.monotonic() - last
            if waited > SPIN_S:
                self._control.serve()
                pause(waited)
            if self._patience.notices(waited):
                say(f"mpidcl: rank {self._rank} has heard nothing for {waited:.0f} s; {self._waits(waiting)}")
            # A halt lasts as long as the longest step of any agent, which a rank with short ones cannot know.
            deadline = self._patience.deadline * (HALT_TIMES if len(self._halted) == len(waiting) else 1)
            if waited > deadline:
                self._give_up(waiting, f"nothing came for {deadline:g} seconds ([network] deadline)", LOST)

    def _end_halt(self) -> None:
        """Let agents that have halted go on, when all have agreed on where to stop or save."""
        self._control.serve()
        for agent, known in list(self._halted.items()):
            if self._stopping.agreements > known:
                del self._halted[agent]
                self._done.append((agent, []))

    def _give_up(self, waiting: dict[int, _Waiting], why: str, hint: str = "") -> None:
        raise DeadlockError(f"{why}; {self._waits(waiting)}{hint}")

    def _waits(self, waiting: dict[int, _Waiting]) -> str:
        waits = {agent: self._what(wait) for agent, wait in waiting.items()}
        ranks = {rank for wait in waiting.values() for rank in self._awaited(wait)} - {self._rank}
        return describe_waits(waits) + where_they_are(ranks, self._hosts)

    def _awaited(self, wait: _Waiting) -> set[int]:
        """The ranks from which something should come."""
        if isinstance(wait, _Leg):
            open_links = [
                link for (link, _), head in zip(wait.meet.incoming, wait.heads, strict=True) if head is None
            ]
            links = open_links or [link for link, _ in wait.meet.incoming]
            return {self._rank_of[link.source] for link in links}
        return self._control.awaited() if isinstance(wait, Halt) else self._together.awaited()

    def _what(self, wait: _Waiting) -> str:
        if isinstance(wait, _Leg):
            return meet_wait(wait.meet, wait.missing())
        return HALT_WAIT if isinstance(wait, Halt) else self._together.waits_in(wait)


def pause(waited: float) -> None:
    """Leave the core to others for a while that fits `waited` seconds of waiting."""
    if waited > YIELD_S:
        time.sleep(min(LONGEST_SLEEP_S, waited / 20))
    elif waited > SPIN_S:
        os.sched_yield()  # time.sleep(0) sleeps: 50 us and more, for the timer's slack


def _failure(link: Link) -> Failed:
    return lambda said: FrameError(f"{link.name}: MPI should carry its frames. {said}")


def _allocate(link: Link, size: int) -> Array:
    try:
        return np.empty(size, np.uint8)
    except MemoryError:
        raise FrameError(
            f"{link.name}: an array of {size} bytes was announced, more than this process can get. "
            "Give the link a budget, or each agent more memory."
        ) from None


def link_tags(topology: Topology, rank_of: Sequence[int], limit: int | None) -> dict[int, int]:
    """Two tags per link, unique between its two ranks: head, then arrays. Both ends compute the same.

    Raises FrameError when this MPI has too few tags for so many links between two ranks.
    """
    used: dict[tuple[int, int], int] = {}
    tags = {}
    for link in topology.links:
        pair = (rank_of[link.source], rank_of[link.target])
        tags[link.index] = used.get(pair, 0)
        used[pair] = tags[link.index] + 2
    highest = max(tags.values(), default=0) + 1
    if limit is not None and highest > limit:
        raise FrameError(
            f"this MPI should allow tags up to {highest}. Found {limit}: "
            "use more ranks, so that each holds fewer agents."
        )
    return tags
