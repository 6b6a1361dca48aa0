"""What all agents ask together, for programs without a driver: one agent per rank, and calls that wait."""

from __future__ import annotations

from mpi4py import MPI

from mpidcl.errors import DeadlockError
from mpidcl.network.mpi.pending import Pending, leave_to_mpi
from mpidcl.network.mpi.together import MpiTogether
from mpidcl.network.mpi.waiting import WaitingLoop
from mpidcl.network.patience import Patience
from mpidcl.network.requests import Reply
from mpidcl.network.together.calls import Together
from mpidcl.network.waits import describe_waits


class MpiRequests:
    """Asks for `Compare`, `Combine` and `Gather` with every rank as an agent of its number.

    `deadline`: seconds without any arrival. Constructing and closing it is collective over `comm`.
    """

    def __init__(self, comm: MPI.Intracomm, deadline: float = 3600.0) -> None:
        self.rank: int = comm.rank
        self.size: int = comm.size
        self._deadline = deadline
        self._pending = Pending()
        self._loop = WaitingLoop(self._pending.poll, lambda: None, Patience(deadline))
        self._replies: list[Reply] = []
        self._failed = False
        self.together = MpiTogether(comm, self._pending, range(comm.size), self._answer)
        self.together.begin([comm.rank])

    def _answer(self, agent: int, reply: Reply) -> None:
        self._replies.append(reply)

    def ask(self, request: Together) -> Reply:
        """The answer; all ranks must ask the same. Raises CombineError or DeadlockError."""
        try:
            return self._ask(request)
        except BaseException:
            self._failed = True
            leave_to_mpi(self)
            raise

    def _ask(self, request: Together) -> Reply:
        self.together.ask(self.rank, request)
        self._loop.until(lambda: bool(self._replies), lambda waited: self._silent(waited, request))
        return self._replies.pop()

    def _silent(self, waited: float, request: Together) -> None:
        if waited > self._deadline:
            wait = describe_waits({self.rank: self.together.waits_in(self.rank, request)})
            raise DeadlockError(f"nothing came for {self._deadline:g} seconds; {wait}")

    def close(self) -> None:
        """Free the communicator. Collective. Where a request has failed nothing is freed."""
        if not self._failed:
            self.together.close()
