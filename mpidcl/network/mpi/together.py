"""Requests that all agents make together, over MPI: begun when this rank's agents have all asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mpi4py import MPI

from mpidcl.errors import CombineError
from mpidcl.network.mpi.combine import CombineEngine
from mpidcl.network.mpi.gather import GatherEngine
from mpidcl.network.mpi.pending import Pending
from mpidcl.network.mpi.wire import Wire
from mpidcl.network.requests import Combine, Compare, Compared, Gather, Row
from mpidcl.network.services import Answer, Service
from mpidcl.network.together.calls import (
    Array,
    Asked,
    RollCall,
    Together,
    arrays_of,
    called,
    check_combine,
    rows_of,
)
from mpidcl.network.together.local import Checksums, copies
from mpidcl.network.waits import together_wait


class MpiTogether(Service[Together]):
    """`answer(agent, reply)` is called for each agent of this rank when a request is over.

    Constructing it is collective: the communicator is duplicated. `debug`: see that rows are left alone.
    """

    answers = (Compare, Combine, Gather)

    def __init__(
        self,
        comm: MPI.Intracomm,
        pending: Pending,
        rank_of: Sequence[int],
        answer: Answer,
        debug: bool = False,
    ) -> None:
        self._rank_of, self._answer = rank_of, answer
        self._wire = Wire(comm, pending)
        self._combining, self._gathering = CombineEngine(self._wire), GatherEngine(self._wire, rank_of)
        self._roll = RollCall(())
        self._rows: list[Row] = []
        self._sums = Checksums(debug)

    @property
    def sent_bytes(self) -> int:
        """Bytes that this rank has handed to MPI for what all agents ask together."""
        return self._wire.sent_bytes

    @property
    def messages(self) -> int:
        """Messages that carried them."""
        return self._wire.messages

    @property
    def floats(self) -> int | None:
        """Elements of the gradients that were compared last; None before."""
        return self._combining.floats

    def begin(self, agents: Iterable[int]) -> None:
        self._roll = RollCall(agents)

    def ask(self, agent: int, request: Together) -> None:
        """Take an agent's request; the last one of this rank starts it. Raises CombineError."""
        idle = sorted(set(range(self._wire.size)) - set(self._rank_of))
        if idle:
            raise CombineError(f"{called(request)}: every rank should have an agent. Found none on {idle}.")
        asked = self._roll.add(agent, request)
        if asked is None:
            return
        if isinstance(request, Compare):
            self._compare(asked, request)
        elif isinstance(request, Combine):
            self._combine(asked, request)
        else:
            self._gather(asked, request)

    def waits_in(self, agent: int, request: Together) -> str:
        return together_wait(request, self._roll.missing(request), self._wire.waits_for())

    def awaited(self, agent: int, request: Together) -> set[int]:
        return self._wire.awaited()

    def close(self) -> None:
        """Free the communicator. Collective."""
        self._wire.close()

    def _compare(self, asked: Asked, request: Compare) -> None:
        self._rows = rows_of(asked)
        self._sums.take(self._rows)
        homes = [self._rank_of[owner] for owner in request.owners]

        def done(compared: Compared) -> None:
            for agent in asked:
                self._answer(agent, Compared(compared.gram.copy(), compared.facts.copy()))

        self._combining.compare(request.when, request.number, homes, self._rows, request.gram, done)

    def _combine(self, asked: Asked, request: Combine) -> None:
        engine = self._combining
        first, *others = check_combine(asked, engine.rows, engine.number, engine.floats)
        self._sums.check(self._rows, called(request))

        def done() -> None:
            for call in others:
                call.out[:] = first.out
            for agent in asked:
                self._answer(agent, ())

        engine.combine(request.when, first.weights, first.out, done)

    def _gather(self, asked: Asked, request: Gather) -> None:
        arrays, to = arrays_of(asked)

        def done(everything: list[Array | None]) -> None:
            for agent in asked:
                self._answer(agent, copies(everything) if to in (None, agent) else [])

        self._gathering.begin(request.when, request.number, arrays, to, done)
