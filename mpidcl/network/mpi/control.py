"""Side channel to rank 0 and back: parts of checkpoints that are written, where to stop, who is done."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from fractions import Fraction

from mpi4py import MPI

from mpidcl.base.notices import warn
from mpidcl.network.requests import Saved
from mpidcl.network.schedule.timetable import Moment, Phase
from mpidcl.network.stopping import Stopping

_RECORD = struct.Struct("<iIQQQ32s")
# to rank 0: a part is written; my agents are done; a signal asks to stop; the last thing that mine have begun
_SAVED, _DONE, _ASK, _BEGUN = 1, 2, 3, 4
# from rank 0: begin nothing more, and say what you have begun; stop there; all are done; save there, go on
_HALT, _STOP, _OVER, _SAVE = 5, 6, 7, 8
_NO_STOP = 255
"""With HALT in the place of a reason to stop: it is only to save."""
_UP, _DOWN = 0, 1
"""Tags: to rank 0, from rank 0."""


class Control:
    """Small fixed-size notes, sent without waiting; every rank reads its own while it waits for frames.

    A stop goes like this. Whoever is asked tells rank 0 (ASK), which tells all (HALT). Each answers with the
    last moment that its agents have begun (BEGUN), and they begin nothing more; rank 0 says where all end
    (STOP). A rank whose agents are done (DONE) cannot stop earlier than at the end, so then nobody does.
    A checkpoint by the clock goes the same way, begun by rank 0; at its end all save (SAVE) and go on.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        on_saved: Callable[[Saved], None] | None,
        stopping: Stopping | None = None,
    ) -> None:
        self._comm = comm.Dup()
        self._on_saved = on_saved or (lambda saved: None)
        self._stopping = stopping or Stopping()
        self._stopping.listens = comm.size > 1
        self._sent: list[tuple[MPI.Request, bytes]] = []
        self._done: set[int] = set()
        self._begun: dict[int, Moment] = {}
        self._told = self._over = self._ended = self._said = False

    def saved(self, saved: Saved) -> None:
        """Tell rank 0 that an agent's part of a checkpoint is on disk."""
        if self._comm.rank == 0:
            self._on_saved(saved)
        else:
            self._note(0, _SAVED, saved.agent, saved.time, saved.size, saved.sha256)

    def _note(
        self,
        rank: int,
        kind: int,
        number: int = 0,
        when: Fraction = Fraction(0),
        size: int = 0,
        sha: bytes = b"",
    ) -> None:
        record = _RECORD.pack(kind, number, *when.as_integer_ratio(), size, sha)
        self._sent = [(request, data) for request, data in self._sent if not request.Test()]
        tag = _DOWN if self._comm.rank == 0 else _UP
        self._sent.append((self._comm.Isend([record, MPI.BYTE], rank, tag), record))

    def _note_all(self, kind: int, number: int = 0, when: Fraction = Fraction(0)) -> None:
        for rank in range(1, self._comm.size):
            self._note(rank, kind, number, when)

    def serve(self) -> bool:
        """Handle every note that has come, pass on that a stop was asked for. True when there was a note."""
        root = self._comm.rank == 0
        served = False
        source, tag = (MPI.ANY_SOURCE, _UP) if root else (0, _DOWN)
        while (message := self._comm.Improbe(source, tag, status := MPI.Status())) is not None:
            record = bytearray(_RECORD.size)
            request = message.Irecv([record, MPI.BYTE])
            while not request.Test():
                pass  # matched and smaller than an eager message: it is already here
            self._handle(status.source, *_RECORD.unpack(record))
            served = True
        if not self._told and (self._stopping.asked() if root else self._stopping.why is not None):
            self._tell()
        if root and self._told and self._stopping.end is None:
            self._agree()
        return served

    def _handle(
        self, source: int, kind: int, number: int, ticks: int, of: int, size: int, digest: bytes
    ) -> None:
        when = Fraction(ticks, of)
        if kind == _SAVED:
            self._on_saved(Saved(number, when, size, digest))
        elif kind == _DONE:
            self._done.add(source)
        elif kind == _ASK:
            self._stopping.want(number)
        elif kind == _BEGUN:
            self._begun[source] = Moment(when, Phase(number))
        elif kind == _HALT:
            if number == _NO_STOP:
                self._stopping.saving = True
            else:
                self._stopping.want(number)
                self._told = True
            if not self._ended:  # else rank 0 hears, or has heard, that this rank is done
                moment = self._stopping.furthest()
                self._note(0, _BEGUN, moment.phase, moment.time)
        elif kind == _STOP:
            self._stopping.end_at(when)
        elif kind == _SAVE:
            self._stopping.save_at(when)
        elif kind == _OVER:
            self._over = True

    def _tell(self) -> None:
        self._told = True
        why = _NO_STOP if self._stopping.why is None else self._stopping.why
        if self._comm.rank == 0:
            self._note_all(_HALT, why)
        else:
            self._note(0, _ASK, why)

    def awaited(self) -> set[int]:
        """Ranks that have not said yet what they have begun, as far as this one knows."""
        if self._comm.rank:
            return {0}
        return set(range(1, self._comm.size)) - self._done - self._begun.keys()

    def _agree(self) -> None:
        """On rank 0: when every rank has said what it has begun, or is done, say where all stop or save."""
        if self.awaited():
            return None
        end = Moment(self._stopping.limit, Phase.CUT)
        begun = [*self._begun.values(), *(end for _ in self._done), self._stopping.furthest()]
        cut = self._stopping.agree(max(begun))
        if self._stopping.end is not None:
            return self._note_all(_STOP, when=cut)
        self._begun, self._told = {}, False
        return self._note_all(_SAVE, when=cut)

    def finish(self, pause: Callable[[float], None]) -> None:
        """Say that this rank is done; returns when all are. Called once by every rank."""
        began = time.monotonic()
        if self._comm.rank:
            self._ended = self._told = True  # nothing is left that could stop earlier
            self._note(0, _DONE)
        while not self._over:
            self.serve()
            self._say_done()
            if self._comm.rank == 0 and len(self._done) == self._comm.size - 1:
                self._note_all(_OVER)
                break
            pause(time.monotonic() - began)
        while not all(request.Test() for request, _ in self._sent):
            pause(time.monotonic() - began)
        self._sent, self._done, self._begun = [], set(), {}
        self._told = self._over = self._ended = self._said = False

    def _say_done(self) -> None:
        """Somebody asks a rank to stop that has nothing to do any more; no other would hear of it."""
        if self._ended and not self._said and self._stopping.why is not None and self._stopping.end is None:
            self._said = True
            warn(f"the agents of rank {self._comm.rank} are done, so all others go on to the end.")

    def close(self) -> None:
        """Free the communicator. Collective."""
        self._comm.Free()
