"""MPI operations that are under way: one list, tested at one place, with what to do as each ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

CHUNK_BYTES = 2**30
"""Larger arrays travel in pieces: MPI 3 counts are 32-bit."""

Bytes = NDArray[np.uint8]


class Pending:
    """Sends and receives of everybody in this process who shares the waiting loop."""

    def __init__(self) -> None:
        self._requests: list[MPI.Request] = []
        self._actions: list[tuple[bool, Callable[..., None]]] = []
        self._statuses: list[MPI.Status] = []

    def __len__(self) -> int:
        return len(self._requests)

    def sending(self, request: MPI.Request, ended: Callable[[], None]) -> None:
        """Call `ended()` when the send has ended."""
        self._requests.append(request)
        self._actions.append((False, ended))

    def receiving(self, request: MPI.Request, came: Callable[[int], None]) -> None:
        """Call `came(bytes)` when the message is there."""
        self._requests.append(request)
        self._actions.append((True, came))

    def poll(self) -> bool:
        """Handle what has completed; False when nothing has."""
        if not self._requests:
            return False
        while len(self._statuses) < len(self._requests):
            self._statuses.append(MPI.Status())
        done = MPI.Request.Testsome(self._requests, self._statuses)
        if not done:
            return False
        calls = [(self._actions[i], status) for i, status in zip(done, self._statuses, strict=False)]
        if len(done) == len(self._requests):
            self._requests, self._actions = [], []
        else:
            for i in sorted(done, reverse=True):
                del self._requests[i], self._actions[i]
        for (wants_size, action), status in calls:
            if wants_size:
                action(status.Get_count(MPI.BYTE))
            else:
                action()
        return True

    def give_up(self) -> None:
        """Cancel all that has not ended."""
        for request in self._requests:
            request.Cancel()
            request.Free()
        self._requests, self._actions = [], []


class Countdown:
    """Calls `done` when all that was opened is closed again. It is born open once."""

    __slots__ = ("_done", "_open")

    def __init__(self, done: Callable[[], None]) -> None:
        self._done, self._open = done, 1

    def open(self, times: int = 1) -> None:
        """Something more has to end."""
        self._open += times

    def close(self) -> None:
        """One thing has ended."""
        self._open -= 1
        if self._open == 0:
            self._done()


def pieces(array: NDArray[Any]) -> list[Bytes]:
    """The bytes of a contiguous array in pieces that MPI can count; none of an empty array."""
    flat: Bytes = array.reshape(-1).view(np.uint8)
    return [flat[at : at + CHUNK_BYTES] for at in range(0, flat.nbytes, CHUNK_BYTES)]
