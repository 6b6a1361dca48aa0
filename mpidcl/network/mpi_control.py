"""Side channel to rank 0: "this part of a checkpoint is written", and "my agents are done"."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from fractions import Fraction

from mpi4py import MPI

from mpidcl.network.requests import Saved

_RECORD = struct.Struct("<iIQQQ32s")
_SAVED, _DONE = 1, 2
_TAG = 0


class Control:
    """Small fixed-size notes to rank 0, sent without waiting; rank 0 reads them while it waits for frames."""

    def __init__(self, comm: MPI.Intracomm, on_saved: Callable[[Saved], None] | None) -> None:
        self._comm = comm.Dup()
        self._on_saved = on_saved or (lambda saved: None)
        self._sent: list[tuple[MPI.Request, bytes]] = []
        self._ranks_done = 0

    def saved(self, saved: Saved) -> None:
        """Tell rank 0 that an agent's part of a checkpoint is on disk."""
        if self._comm.rank == 0:
            self._on_saved(saved)
        else:
            self._note(_SAVED, saved)

    def _note(self, kind: int, saved: Saved) -> None:
        time = saved.time.as_integer_ratio()
        record = _RECORD.pack(kind, saved.agent, *time, saved.size, saved.sha256)
        self._sent = [(request, data) for request, data in self._sent if not request.Test()]
        self._sent.append((self._comm.Isend([record, MPI.BYTE], 0, _TAG), record))

    def serve(self) -> bool:
        """On rank 0: handle every note that has come. True when there was one."""
        served = False
        while self._comm.rank == 0 and (message := self._comm.Improbe(MPI.ANY_SOURCE, _TAG)) is not None:
            record = bytearray(_RECORD.size)
            request = message.Irecv([record, MPI.BYTE])
            while not request.Test():
                pass  # matched and smaller than an eager message: it is already here
            self._handle(record)
            served = True
        return served

    def _handle(self, record: bytearray) -> None:
        kind, agent, ticks, of, size, digest = _RECORD.unpack(record)
        if kind == _DONE:
            self._ranks_done += 1
        else:
            self._on_saved(Saved(agent, Fraction(ticks, of), size, digest))

    def finish(self, pause: Callable[[float], None]) -> None:
        """Say that this rank is done; rank 0 returns when all are. Called once by every rank."""
        began = time.monotonic()
        if self._comm.rank:
            self._note(_DONE, Saved(0, Fraction(0), 0, b""))
            while not all(request.Test() for request, _ in self._sent):
                pause(time.monotonic() - began)
            return
        while self._ranks_done < self._comm.size - 1:
            self.serve()
            pause(time.monotonic() - began)
        self._ranks_done = 0

    def close(self) -> None:
        """Free the communicator. Collective."""
        self._comm.Free()
