"""What frames over MPI need beside MPI: memory for copies and for what comes, and the words of a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from mpi4py import MPI

from mpidcl.errors import FrameError
from mpidcl.network.frames.message import Array
from mpidcl.network.mpi.pending import Failed, Pending
from mpidcl.network.mpi.tags import link_tags
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.network.services import Answer, R, Service


class FrameService(Service[R]):
    """What moves frames of this rank's agents. `rank_of[agent]` says where every agent lives.

    Constructing it is collective: the communicator is duplicated.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        pending: Pending,
        topology: Topology,
        rank_of: Sequence[int],
        answer: Answer,
        checksum_all: bool = False,
    ) -> None:
        self._comm, self._pending = comm.Dup(), pending
        self._rank, self._rank_of = comm.rank, rank_of
        self._answer, self._checksum_all = answer, checksum_all
        self._tags = link_tags(topology, rank_of, self._comm.Get_attr(MPI.TAG_UB))
        self._copies = Copies()

    def close(self) -> None:
        """Free the communicator. Collective."""
        self._comm.Free()


def link_failure(link: Link) -> Failed:
    """Makes the error of an operation of this link that MPI could not end."""
    return lambda said: FrameError(f"{link.name}: MPI should carry its frames. {said}")


def whole(link: Link, want: int, ended: Callable[[], None]) -> Callable[[int], None]:
    """What to call with the bytes of an array, or a piece of one, that has come: `ended()`, or FrameError."""

    def came(size: int) -> None:
        if size != want:
            raise FrameError(
                f"{link.name}: a large array should have {want} bytes. Found {size}: the frame is damaged."
            )
        ended()

    return came


class Copies:
    """Memory for copies, used again: each a power of two of bytes, as many as were ever under way at once."""

    def __init__(self) -> None:
        self._free: dict[int, list[Array]] = {}
        self._under_way: Counter[str] = Counter()

    def of(self, link: Link, array: Array) -> tuple[Array, Callable[[], None]]:
        """A copy of flat bytes, and what must be called when it has left over the link. Raises FrameError."""
        size = 1 << max(0, array.nbytes - 1).bit_length()
        free = self._free.setdefault(size, [])
        memory = free.pop() if free else allocate(link, size)
        copy = memory[: array.nbytes]
        copy[:] = array
        left = self.leaving(link)

        def gone() -> None:
            free.append(memory)
            left()

        return copy, gone

    def leaving(self, link: Link) -> Callable[[], None]:
        """Something small leaves over the link; to be called when it has."""
        self._under_way[link.name] += 1

        def gone() -> None:
            self._under_way[link.name] -= 1

        return gone

    def under_way(self) -> list[str]:
        """The links over which copies still leave."""
        return [name for name, count in self._under_way.items() if count]


def allocate(link: Link, size: int) -> Array:
    """Memory of flat bytes. Raises FrameError when there is too little."""
    try:
        return np.empty(size, np.uint8)
    except MemoryError:
        raise FrameError(
            f"{link.name}: an array of {size} bytes was announced, more than this process can get. "
            "Give the link a budget, or each agent more memory."
        ) from None
