"""What all agents ask together, for programs without a driver: one agent per rank, and calls that wait."""

from __future__ import annotations

import threading
from typing import Any

from mpi4py import MPI

from mpidcl.base.notices import warn
from mpidcl.base.rank_variables import launcher, torchrun
from mpidcl.errors import CombineError, DeadlockError
from mpidcl.network.mpi.mover import Mover, by_other_threads, no_threads
from mpidcl.network.mpi.pending import Pending, leave_to_mpi, take_back
from mpidcl.network.mpi.posts import MpiPosts
from mpidcl.network.mpi.together import MpiTogether
from mpidcl.network.mpi.waiting import WaitingLoop
from mpidcl.network.mpi.wire import Wire
from mpidcl.network.patience import Patience, where_they_are
from mpidcl.network.requests import Reply, Request
from mpidcl.network.services import Service, unknown
from mpidcl.network.waits import describe_waits


class MpiRequests:
    """Asks for `Compare`, `Combine` and `Gather` with every rank as an agent of its number.

    `deadline`: seconds without any arrival. `posts`: asks for `Post` and `Take`, too. Constructing and
    closing it is collective over `comm`.
    """

    def __init__(self, comm: MPI.Intracomm, deadline: float = 3600.0, posts: bool = False) -> None:
        if not isinstance(comm, MPI.Intracomm) or comm == MPI.COMM_NULL:
            raise CombineError(
                "`comm` should be a communicator of mpi4py, such as MPI.COMM_WORLD. Found"
                f" {'MPI.COMM_NULL' if isinstance(comm, MPI.Comm) else type(comm).__name__}."
            )
        _warn_if_alone()
        self.rank: int = comm.rank
        self.size: int = comm.size
        self._deadline = deadline
        self._pending = Pending()
        self._loop = WaitingLoop(self._pending.poll, self._look, Patience(deadline))
        self._replies: list[Reply] = []
        self.failed = False
        """Whether a request has failed: then it can be asked nothing more."""
        self._lock = threading.Lock()
        self._home, self._anywhere = threading.get_ident(), by_other_threads()
        self._mover: Mover | None = None
        self.together = MpiTogether(comm, self._pending, range(comm.size), self._answer)
        every: list[Service[Any]] = [self.together]
        self.hosts: list[str] = []
        """Of each rank the name of its machine, for errors; or nothing."""
        self.posts: MpiPosts | None = None
        if posts:
            wire = Wire(comm, self._pending)
            self.posts = MpiPosts(wire, range(comm.size), self._answer, patience=lambda: deadline)
            every.append(self.posts)
        self._services = {kind: service for service in every for kind in service.answers}
        for service in every:
            service.begin([comm.rank])
        leave_to_mpi(self)  # a program may end, or forget this, without `close`: MPI would fill freed memory
        self._left = True

    def _answer(self, agent: int, reply: Reply) -> None:
        self._replies.append(reply)

    def _look(self) -> None:
        if self.posts is not None:
            self.posts.poll()

    @staticmethod
    def no_threads() -> str:
        """Why no thread can be started; nothing where one can."""
        return no_threads()

    def start_thread(self) -> None:
        """From now on a thread lets what is under way move on. Raises MpidclError where MPI allows none."""
        self._mover = Mover(self.poll, lambda: bool(self._pending))

    def poll(self) -> None:
        """Let what is under way move on; it waits for nothing. Any thread may call it.

        A thread other than the one that has made this does nothing where MPI takes no calls of it.
        """
        here = self._anywhere or threading.get_ident() == self._home
        if here and self._lock.acquire(blocking=False):  # else somebody is at it
            try:
                self._pending.poll()
            finally:
                self._lock.release()

    def ask(self, request: Request) -> Reply:
        """The answer; all ranks must ask the same. Raises CombineError or DeadlockError."""
        if self.failed:
            raise CombineError(
                "Nothing should be asked after an error: the other ranks may be anywhere. End the job, or go"
                " on from what was saved."
            )
        try:
            with self._lock:
                if self._mover is not None and self._mover.error is not None:
                    raise self._mover.error
                reply = self._ask(request)
            if self._mover is not None and self._pending:
                self._mover.begin()
            return reply
        except BaseException:
            self.failed = True
            self.end_thread()
            raise

    def end_thread(self) -> None:
        """End it, if there is one."""
        if self._mover is not None:
            self._mover.close()

    def _ask(self, request: Request) -> Reply:
        service = self._services.get(type(request))
        if service is None:
            raise unknown(self.rank, request, self._services)
        service.ask(self.rank, request)
        if not self._replies:
            self._loop.until(
                lambda: bool(self._replies), lambda waited: self._silent(waited, request, service)
            )
        return self._replies.pop()

    def _silent(self, waited: float, request: Request, service: Service[Any]) -> None:
        if waited > self._deadline:
            wait = describe_waits({self.rank: service.waits_in(self.rank, request)})
            late = where_they_are(service.awaited(self.rank, request) - {self.rank}, self.hosts)
            raise DeadlockError(f"nothing came for {self._deadline:g} seconds; {wait}{late}")

    def close(self) -> None:
        """Free the communicator. Collective. Where a request has failed nothing is freed."""
        self.end_thread()
        if self.failed or not self._left:
            return
        self.together.close()
        if self.posts is not None:
            self.posts.close()
        self._left = False
        take_back(self)


def _warn_if_alone() -> None:
    """A process that shares nothing looks right. No error: a rank's children inherit what it was told."""
    found = launcher() or torchrun()
    if found is None or (found.size or 1) == 1 or MPI.COMM_WORLD.Get_size() > 1:
        return
    library = MPI.Get_library_version().replace("\0", "").splitlines()[0]
    name = found.named.partition("=")[0]
    warn(
        f"{name} says that {found.size} processes were started, but in MPI this one is alone: it shares"
        f" nothing. Start them by the mpiexec of the MPI that mpi4py loads ({library}), and not by that of"
        " another MPI or by torchrun."
    )
