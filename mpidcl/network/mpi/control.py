"""Side channel to rank 0 and back: files of checkpoints that are written, where to stop, who is done."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from fractions import Fraction

from mpi4py import MPI

from mpidcl.base.notices import warn
from mpidcl.network.mpi.tags import DOWN, UP
from mpidcl.network.mpi.waiting import WaitingLoop
from mpidcl.network.requests import Halt, Pulse, Saved
from mpidcl.network.schedule.timetable import Moment, Phase
from mpidcl.network.services import Answer, Service
from mpidcl.network.stopping import Stopping

_RECORD = struct.Struct("<iIQQQ32s")
# to rank 0: a file is written; my agents are done; a signal asks to stop; the last thing that mine have begun
_SAVED, _DONE, _ASK, _BEGUN = 1, 2, 3, 4
# from rank 0: begin nothing more, and say what you have begun; stop there; all are done; save there, go on
_HALT, _STOP, _OVER, _SAVE = 5, 6, 7, 8
_NO_STOP = 255
"""With HALT in the place of a reason to stop: it is only to save."""


class Control(Service[Saved | Pulse | Halt]):
    """Answers what is not for other agents. All is answered with an empty list: `Saved` and `Pulse` at once,
    `Halt` when all have agreed on a cut.

    Small fixed-size notes, sent without waiting; every rank reads its own while it waits for frames.

    A stop goes like this. Whoever is asked tells rank 0 (ASK), which tells all (HALT). Each answers with the
    last moment that its agents have begun (BEGUN), and they begin nothing more; rank 0 says where all end
    (STOP). A rank whose agents are done (DONE) cannot stop earlier than at the end, so then nobody does.
    A checkpoint by the clock goes the same way, begun by rank 0; at its end all save (SAVE) and go on.
    A halt lasts as long as the longest step of any agent, which a rank with short ones cannot know.
    """

    answers = (Saved, Pulse, Halt)
    patience = 10

    def __init__(
        self,
        comm: MPI.Intracomm,
        answer: Answer,
        on_saved: Callable[[Saved], None] | None,
        stopping: Stopping | None = None,
    ) -> None:
        self._comm, self._answer = comm.Dup(), answer
        self._on_saved = on_saved or (lambda saved: None)
        self._stopping = stopping or Stopping()
        self._stopping.listens = comm.size > 1
        self._sent: list[tuple[MPI.Request, bytes]] = []
        self._done: set[int] = set()
        self._begun: dict[int, Moment] = {}
        self._halted: dict[int, int] = {}
        self._told = self._finishing = self._over = self._said = False

    def begin(self, agents: Iterable[int]) -> None:
        self._halted.clear()

    def ask(self, agent: int, request: Saved | Pulse | Halt) -> None:
        if isinstance(request, Halt):
            self._halted[agent] = self._stopping.agreements
            return
        if isinstance(request, Saved):
            self._saved(request)
        self.poll()  # the slowest rank never waits, and still must hear that others saved
        self._answer(agent, [])

    def poll(self) -> None:
        """Read notes, and let agents that have halted go on when all have agreed on where to stop or save."""
        self._serve()
        if self._halted:
            for agent, known in list(self._halted.items()):
                if self._stopping.agreements > known:
                    del self._halted[agent]
                    self._answer(agent, [])
        if self._finishing:
            self._say_done()
            if self._comm.rank == 0 and len(self._done) == self._comm.size - 1 and not self._over:
                self._note_all(_OVER)
                self._over = True

    def expects(self) -> bool:
        return bool(self._halted)

    def waits_in(self, agent: int, request: Saved | Pulse | Halt) -> str:
        return "waits for the others to say where all stop or save"

    def awaited(self, agent: int, request: Saved | Pulse | Halt) -> set[int]:
        return self._silent()

    def _saved(self, saved: Saved) -> None:
        """Tell rank 0 that this process's file of a checkpoint is on disk."""
        if self._comm.rank == 0:
            self._on_saved(saved)
        else:
            self._note(0, _SAVED, saved.cut, saved.time, saved.size, saved.sha256)

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
        tag = DOWN if self._comm.rank == 0 else UP
        self._sent.append((self._comm.Isend([record, MPI.BYTE], rank, tag), record))

    def _note_all(self, kind: int, number: int = 0, when: Fraction = Fraction(0)) -> None:
        for rank in range(1, self._comm.size):
            self._note(rank, kind, number, when)

    def _serve(self) -> None:
        """Handle every note that has come, pass on that a stop was asked for."""
        root = self._comm.rank == 0
        source, tag = (MPI.ANY_SOURCE, UP) if root else (0, DOWN)
        while (message := self._comm.Improbe(source, tag, status := MPI.Status())) is not None:
            record = bytearray(_RECORD.size)
            request = message.Irecv([record, MPI.BYTE])
            while not request.Test():
                pass  # matched and smaller than an eager message: it is already here
            self._handle(status.source, *_RECORD.unpack(record))
        if not self._told and (self._stopping.asked() if root else self._stopping.why is not None):
            self._tell()
        if root and self._told and self._stopping.end is None:
            self._agree()

    def _handle(
        self, source: int, kind: int, number: int, ticks: int, of: int, size: int, digest: bytes
    ) -> None:
        when = Fraction(ticks, of)
        if kind == _SAVED:
            self._on_saved(Saved(number, when, size, digest, source))
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
            if not self._finishing:  # else rank 0 hears, or has heard, that this rank is done
                moment = self._stopping.furthest()
                self._note(0, _BEGUN, moment.phase, _not_before(moment.time))
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

    def _silent(self) -> set[int]:
        """Ranks that have not said yet what they have begun, as far as this one knows."""
        if self._comm.rank:
            return {0}
        return set(range(1, self._comm.size)) - self._done - self._begun.keys()

    def _agree(self) -> None:
        """On rank 0: when every rank has said what it has begun, or is done, say where all stop or save."""
        if self._silent():
            return None
        end = Moment(self._stopping.limit, Phase.CUT)
        begun = [*self._begun.values(), *(end for _ in self._done), self._stopping.furthest()]
        cut = self._stopping.agree(max(begun))
        if self._stopping.end is not None:
            return self._note_all(_STOP, when=cut)
        self._begun, self._told = {}, False
        return self._note_all(_SAVE, when=cut)

    def finish(self, loop: WaitingLoop, silent: Callable[[float], None]) -> None:
        """Say that this rank is done; returns when all are. Called once by every rank."""
        self._finishing = True
        if self._comm.rank:
            self._told = True  # nothing is left that could stop earlier
            self._note(0, _DONE)
        self.poll()
        loop.until(lambda: self._over, silent)
        loop.until(lambda: all(request.Test() for request, _ in self._sent), silent)
        self._sent, self._done, self._begun = [], set(), {}
        self._told = self._finishing = self._over = self._said = False

    def _say_done(self) -> None:
        """Somebody asks a rank to stop that has nothing to do any more; no other would hear of it."""
        asked = self._stopping.why is not None and self._stopping.end is None
        if self._comm.rank and asked and not self._said:
            self._said = True
            warn(f"the agents of rank {self._comm.rank} are done, so all others go on to the end.")

    def close(self) -> None:
        """Free the communicator. Collective."""
        self._comm.Free()


def _not_before(time: Fraction | float) -> Fraction:
    """A fraction of 64 bits that is not before `time`; of a float at most a millionth of a second later."""
    return time if isinstance(time, Fraction) else Fraction(math.ceil(time * 10**6), 10**6)
