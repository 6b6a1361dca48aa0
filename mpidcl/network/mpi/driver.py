"""Drives this rank's agents over MPI: non-blocking point-to-point only, one waiting loop, no barrier.

What agents ask is answered by services, each with a communicator of its own: meetings, mail, what all ask
together, posts, and the side channel to rank 0. All that is under way lies in one list (`Pending`), which is
looked at while all agents of the rank wait, and between their requests.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from mpi4py import MPI

from mpidcl.base.notices import say
from mpidcl.errors import DeadlockError
from mpidcl.network.mpi.control import Control
from mpidcl.network.mpi.mailbox import MpiMailbox
from mpidcl.network.mpi.meetings import MpiMeetings
from mpidcl.network.mpi.mover import Mover, by_other_threads
from mpidcl.network.mpi.pending import Pending, leave_to_mpi
from mpidcl.network.mpi.posts import MpiPosts
from mpidcl.network.mpi.together import MpiTogether
from mpidcl.network.mpi.waiting import SPIN_S, WaitingLoop
from mpidcl.network.mpi.wire import Wire
from mpidcl.network.patience import LOST, Patience, where_they_are
from mpidcl.network.requests import Life, Reply, Request, Saved
from mpidcl.network.schedule.topology import Topology
from mpidcl.network.services import Served
from mpidcl.network.stopping import Stopping
from mpidcl.network.waits import DEBUG, describe_waits


class MpiDriver(Served):
    """The driver of one rank. `rank_of[agent]` says where every agent lives.

    `deadline` (seconds without any arrival while every agent of this rank waits; None: see Patience) raises
    DeadlockError. `hosts`: of each rank the name of its machine, for that.
    `on_saved` is called on rank 0 for every process's file of a checkpoint. `thread`: what is under way moves
    on while agents compute, by a thread.
    Constructing it is collective over `comm` (every service duplicates it).
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
        thread: bool = False,
    ) -> None:
        super().__init__()
        self._rank, self._patience, self._hosts = comm.rank, Patience(deadline), list(hosts)
        self._pending, self._failed = Pending(), False
        self._now = self._polled = 0.0
        self._loop = WaitingLoop(self._pending.poll, self._look, self._patience)
        debug, answer = bool(os.environ.get(DEBUG)), self._answer
        self.control = Control(comm, answer, on_saved, stopping)
        self.meetings = MpiMeetings(comm, self._pending, topology, rank_of, answer, checksum_all)
        self.mailbox = MpiMailbox(comm, self._pending, topology, rank_of, answer, checksum_all)
        self.together = MpiTogether(comm, self._pending, rank_of, answer, debug)
        self.posts = MpiPosts(
            Wire(comm, self._pending), rank_of, answer, debug, lambda: self._patience.deadline
        )
        self._offer(self.control, self.meetings, self.mailbox, self.together, self.posts)
        self._computing = threading.Lock()
        """Held by whoever looks at what is under way; this thread holds it but while an agent computes."""
        self._home, self._anywhere = threading.get_ident(), by_other_threads()
        self._mover = Mover(self._look_aside, lambda: bool(self._pending)) if thread else None

    def drive(self, lives: dict[int, Life]) -> dict[int, Any]:
        """Run this rank's agents to their end. Collective at the very end only: rank 0 hears from all."""
        try:
            with self._computing:
                results = self._live(lives)
                self.control.finish(self._loop, self._others_go_on)
                self._loop.until(lambda: not self._leaving(), self._copies_stay)
            return results
        except BaseException:
            self._failed = True
            leave_to_mpi(self)
            self._end_thread()
            raise

    def close(self) -> None:
        """Free the duplicated communicators. Collective. Where `drive` has failed nothing is freed."""
        self._end_thread()
        if not self._failed:
            for service in self._services:
                service.close()

    def _resume(self, agent: int, life: Life, reply: Reply | None) -> Request:
        began = time.monotonic()
        try:
            if self._mover is None:
                return super()._resume(agent, life, reply)
            return self._resume_beside(self._mover, agent, life, reply)
        finally:
            self._now = time.monotonic()
            self._patience.lived(self._now - began)

    def _resume_beside(self, mover: Mover, agent: int, life: Life, reply: Reply | None) -> Request:
        """The thread may look while the agent computes."""
        if self._pending:
            mover.begin()
        self._computing.release()
        try:
            return super()._resume(agent, life, reply)
        finally:
            self._computing.acquire()
            if mover.error is not None:
                raise mover.error

    def _look_aside(self) -> None:
        if self._computing.acquire(blocking=False):  # else no agent computes: this rank looks anyway
            try:
                self._pending.poll()
            finally:
                self._computing.release()

    def _end_thread(self) -> None:
        if self._mover is not None:
            self._mover.close()

    def poll(self) -> None:
        """Let what is under way move on, from inside an agent that computes; it waits for nothing.

        torch may call it in a thread of its own, for a GPU: then only where MPI takes calls of that.
        """
        if self._anywhere or threading.get_ident() == self._home:
            self._pending.poll()

    def _between(self) -> None:
        """One agent may have learned for long: see what others of this rank may go on with."""
        if self._ready and self._now - self._polled > SPIN_S:  # else the waiting loop looks at once
            self._polled = self._now
            self._pending.poll()
            self._look()

    def _look(self) -> None:
        for service in self._services:
            service.poll()

    # --- waiting -----------------------------------------------------------------------------------

    def _wait(self) -> None:
        self._loop.until(lambda: bool(self._ready), self._silent)

    def _silent(self, waited: float) -> None:
        """Nothing has come for so many seconds: is there hope?"""
        if not self._pending and not any(service.expects() for service in self._services):
            raise DeadlockError(f"nothing can arrive any more; {self._who_waits()}")
        if self._patience.notices(waited):
            say(f"mpidcl: rank {self._rank} has heard nothing for {waited:.0f} s; {self._who_waits()}")
        times = min(self._service(*wait).patience for wait in self._waiting.items())
        deadline = self._patience.deadline * times
        if waited > deadline:
            why = f"nothing came for {deadline:g} seconds ([network] deadline)"
            raise DeadlockError(f"{why}; {self._who_waits()}{LOST}")

    def _who_waits(self) -> str:
        ranks: set[int] = set()
        for agent, request in self._waiting.items():
            ranks |= self._service(agent, request).awaited(agent, request)
        return describe_waits(self._waits()) + where_they_are(ranks - {self._rank}, self._hosts)

    def _others_go_on(self, waited: float) -> None:
        """Their agents may have much more to do, so nobody gives up here."""
        if self._rank == 0 and self._patience.notices(waited):
            say(f"mpidcl: the agents of rank 0 are done since {waited:.0f} s; it waits for other ranks.")

    def _leaving(self) -> list[str]:
        """Links over which frames still leave."""
        return [*self.meetings.under_way(), *self.mailbox.under_way()]

    def _copies_stay(self, waited: float) -> None:
        """All agents of all ranks are done, so what has not left will be received by nobody."""
        if waited > self._patience.deadline:
            links = ", ".join(self._leaving())
            raise DeadlockError(f"every frame should be received before the run ends. Not so on {links}.")
