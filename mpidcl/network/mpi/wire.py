"""Arrays to and from other ranks, in pieces that MPI can count, and what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from mpi4py import MPI
from numpy.typing import NDArray

from mpidcl.errors import CombineError
from mpidcl.network.mpi.pending import Countdown, Failed, Pending, pieces


class Wire:
    """One communicator with the ranks that combine. Nothing here waits.

    `sent_bytes` and `messages` count what this rank has handed to MPI. A receive must be posted with the size
    that was sent. Constructing it is collective: the communicator is duplicated.
    """

    def __init__(self, comm: MPI.Intracomm, pending: Pending) -> None:
        self._comm, self._pending = comm.Dup(), pending
        self.rank: int = self._comm.rank
        self.size: int = self._comm.size
        self.others = [(self.rank + step) % self.size for step in range(1, self.size)]
        self.sent_bytes = 0
        self.messages = 0
        self._awaited: Counter[int] = Counter()
        self._failed = [_failure(rank) for rank in range(self.size)]

    def send(self, array: NDArray[Any], rank: int, tag: int, countdown: Countdown) -> None:
        """Send a contiguous array, which must stay as it is until `countdown` has been closed for it."""
        for piece in pieces(array):
            countdown.open()
            self._pending.sending(self._comm.Isend(piece, rank, tag), countdown.close, self._failed[rank])
            self.sent_bytes += piece.nbytes
            self.messages += 1

    def receive(self, array: NDArray[Any], rank: int, tag: int, countdown: Countdown) -> None:
        """Fill a contiguous array with what `rank` sends; `countdown` is closed when it is there."""
        for piece in pieces(array):
            countdown.open()
            self._awaited[rank] += 1
            request = self._comm.Irecv(piece, rank, tag)
            came = self._arrival(rank, piece.nbytes, countdown.close)
            self._pending.receiving(request, came, self._failed[rank])

    def _arrival(self, rank: int, want: int, then: Callable[[], None]) -> Callable[[int], None]:
        def came(size: int) -> None:
            self._awaited[rank] -= 1
            if size != want:
                raise CombineError(f"rank {rank} should send {want} bytes. Found {size}.")
            then()

        return came

    def awaited(self) -> set[int]:
        """The ranks from which something should still come."""
        return {rank for rank, count in self._awaited.items() if count}

    def waits_for(self) -> str:
        """For an error: the ranks from which something should still come."""
        ranks = sorted(self.awaited())
        if not ranks:
            return "the rest of what is on its way"
        return ("rank " if len(ranks) == 1 else "ranks ") + ", ".join(map(str, ranks))

    def close(self) -> None:
        """Free the communicator. Collective."""
        self._comm.Free()


def _failure(rank: int) -> Failed:
    return lambda said: CombineError(f"MPI should carry all between this rank and rank {rank}. {said}")
