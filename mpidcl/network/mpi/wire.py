"""Arrays to and from other ranks, in pieces that MPI can count, and what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
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
        self._all_failed = _failure_of("all ranks")

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

    def gather_words(
        self, mine: NDArray[np.int64], counts: list[int], every: NDArray[np.int64], countdown: Countdown
    ) -> None:
        """Fill `every` with the words of all ranks, `counts` of each, in order of rank. Collective."""
        countdown.open()
        request = self._comm.Iallgatherv(mine, [every, counts])
        self._pending.sending(request, countdown.close, self._all_failed)
        self.sent_bytes += mine.nbytes * (self.size - 1)
        self.messages += 1

    def note(self, word: NDArray[np.int64], rank: int, tag: int) -> None:
        """Send a word for which nobody has to wait; `notes` finds it."""
        self._pending.sending(self._comm.Isend(word, rank, tag), _keep(word), self._failed[rank])

    def notes(self, word: NDArray[np.int64], tags: Sequence[int]) -> Iterator[tuple[int, int]]:
        """The notes that have come: rank and tag of each, while `word` holds what it says."""
        status = MPI.Status()
        for tag in tags:
            while self._comm.Iprobe(MPI.ANY_SOURCE, tag, status):
                self._comm.Recv(word, status.Get_source(), tag)
                yield status.Get_source(), tag

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


def _keep(array: NDArray[Any]) -> Callable[[], None]:
    """Does nothing, and holds the array until then."""
    return lambda: None if array.size else None


def _failure(rank: int) -> Failed:
    return _failure_of(f"rank {rank}")


def _failure_of(whom: str) -> Failed:
    return lambda said: CombineError(f"MPI should carry all between this rank and {whom}. {said}")
