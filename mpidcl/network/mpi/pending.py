"""MPI operations that are under way: one list, tested at one place, with what to do as each ends.

Nothing is ever cancelled: MPI 4 deprecates it for sends, and MPICH 5.0.2 crashes. Whoever gives up leaves
to MPI what is under way (`leave_to_mpi`), and its communicators too: one that is freed gives its number to
the next, which would receive what was sent to the old one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

CHUNK_BYTES = 2**30
"""Larger arrays travel in pieces: MPI 3 counts are 32-bit."""

Bytes = NDArray[np.uint8]


Failed = Callable[[str], Exception]
"""Makes the error of an operation that MPI could not end; its argument quotes MPI."""


class Pending:
    """Sends and receives of everybody in this process who shares the waiting loop.

    A receive must be posted with room for what is sent. Open MPI 5.0.11 writes the rest of a longer message
    behind it, before anybody hears of an error.
    """

    def __init__(self) -> None:
        self._requests: list[MPI.Request] = []
        self._actions: list[tuple[bool, Callable[..., None], Failed]] = []
        self._statuses: list[MPI.Status] = []

    def __len__(self) -> int:
        return len(self._requests)

    def sending(self, request: MPI.Request, ended: Callable[[], None], failed: Failed) -> None:
        """Call `ended()` when the send has ended."""
        self._requests.append(request)
        self._actions.append((False, ended, failed))

    def receiving(self, request: MPI.Request, came: Callable[[int], None], failed: Failed) -> None:
        """Call `came(bytes)` when the message is there."""
        self._requests.append(request)
        self._actions.append((True, came, failed))

    def poll(self) -> bool:
        """Handle what has completed; False when nothing has. Raises what `failed` makes of MPI's error."""
        if not self._requests:
            return False
        while len(self._statuses) < len(self._requests):
            self._statuses.append(MPI.Status())
        try:
            done = MPI.Request.Testsome(self._requests, self._statuses)
        except MPI.Exception as error:
            raise self._first_failure(error) from error
        if not done:
            return False
        calls = [(self._actions[i], status) for i, status in zip(done, self._statuses, strict=False)]
        if len(done) == len(self._requests):
            self._requests, self._actions = [], []
        else:
            for i in sorted(done, reverse=True):
                del self._requests[i], self._actions[i]
        for (wants_size, action, _), status in calls:
            if wants_size:
                action(status.Get_count(MPI.BYTE))
            else:
                action()
        return True

    def _first_failure(self, error: MPI.Exception) -> Exception:
        """What has just ended is null, in the order of the statuses; MPI may say which of these failed."""
        ended = [i for i, request in enumerate(self._requests) if request == MPI.REQUEST_NULL]
        for i, status in zip(ended, self._statuses, strict=False):
            if status.Get_error() != MPI.SUCCESS:
                return self._actions[i][2](_quote(MPI.Get_error_string(status.Get_error())))
        return self._actions[(ended or [0])[0]][2](_quote(error.Get_error_string()))


def _quote(said: str) -> str:
    words = " ".join(said.split())
    return f"It failed: {words}. Often the process at the other end, or its machine, is gone."


def leave_to_mpi(owner: object) -> None:
    """Keep `owner`, and the arrays of all that it has under way, until the process is gone.

    MPI may read and write them up to the end of MPI_Finalize, which comes after that of the interpreter.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


def take_back(owner: object) -> None:
    """The end of one `leave_to_mpi`: it has nothing under way any more."""
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(owner))


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
    if 0 < flat.nbytes <= CHUNK_BYTES:
        return [flat]
    return [flat[at : at + CHUNK_BYTES] for at in range(0, flat.nbytes, CHUNK_BYTES)]
