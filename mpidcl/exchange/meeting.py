"""Holds an agent's meetings: asks, answers, settles in legs, within each link's budget."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import ClassVar

from mpidcl.base.state import Facts, State, state_of
from mpidcl.errors import ExperimentError, RequestError
from mpidcl.exchange.base import ByteRange, Exchange, Received
from mpidcl.exchange.divergence import DIVERGENCE, Divergence
from mpidcl.exchange.sending import Sending, Side
from mpidcl.network.frames.budget import check_budget
from mpidcl.network.frames.frame import PREFIX_BYTES
from mpidcl.network.frames.ledger import Ledger
from mpidcl.network.requests import Meet, Reply, Request
from mpidcl.network.schedule.clock import Clock
from mpidcl.network.schedule.timetable import Event, Moment, Rhythm, Use
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.record.tables import Table, Tables, from_columns, to_columns


class Meetings:
    """All meetings of one agent. The exchanges are in file order; `rhythms` tell their link classes."""

    _more_head_bytes: ClassVar[int] = 0
    """Of each frame, beside those of any frame."""

    def __init__(
        self,
        agent: int,
        topology: Topology,
        exchanges: Sequence[Exchange],
        rhythms: Sequence[Rhythm],
        kinds: Sequence[str],
        ledger: Ledger | None,
        seed: int,
    ) -> None:
        self.agent, self.topology, self.seed = agent, topology, seed
        self.exchanges, self.rhythms, self.kinds = exchanges, rhythms, kinds
        self.sending = Sending(agent, exchanges, kinds, ledger, seed)
        self.divergence: list[Divergence] = []
        self._begin()

    def _begin(self) -> None:
        """Whatever else is needed."""
        self._sides: dict[Use, Side] = {}

    def hold(self, event: Event) -> Generator[Request, Reply, None]:
        """One meeting with every neighbour that is due; asks and answers come from the state before it."""
        self._tell_time(event)
        sides = [self._side(use) for use in event.uses]
        due = sorted({number for side in sides for number in side.numbers})
        for number in due:
            self.exchanges[number].begin_use(event.task)
        for leg in range(max(side.legs for side in sides)):
            yield from self._leg(event.moment, leg, sides)
        self._settle(sides, due)
        for number in due:
            self.divergence += [
                Divergence(float(event.moment.time), *d) for d in self.exchanges[number].distances()
            ]

    def _tell_time(self, event: Event) -> None:
        now = float(event.moment.time)
        for exchange in self.exchanges:
            exchange.now = now

    def _side(self, use: Use) -> Side:
        side = self._sides.get(use)
        if side is None:
            out = self.topology.outgoing(self.agent).get(use.neighbour)
            back = self.topology.incoming(self.agent).get(use.neighbour)
            if out is None and back is None or not set(use.exchanges) <= set(range(len(self.exchanges))):
                raise RequestError(
                    f"Events of agent {self.agent} should name neighbours with a link to or from it, and"
                    f" numbers of [[exchange]] tables, 0 to {len(self.exchanges) - 1}. Found {use}: the clock"
                    " that makes its timetable has named another."
                )
            legs = max(self.exchanges[number].legs for number in use.exchanges)
            rules = self.rhythms
            asking = [n for n in use.exchanges if out is not None and out.in_class(rules[n].links)]
            side = self._sides[use] = Side(use.neighbour, use.exchanges, out, back, legs, asking)
        side.begin()
        return side

    def keep_to(self, clock: Clock) -> None:
        """Said once, before the first meeting."""

    @property
    def head_bytes(self) -> int:
        """Of each frame, whatever is in it."""
        return PREFIX_BYTES + self._more_head_bytes

    def byte_range(self, number: int, target: int, budget: int | None) -> ByteRange:
        """What exchange `number` declares for the link to `target`."""
        return self.sending.byte_range(number, target, budget)

    def _leg(self, when: Moment, leg: int, sides: Sequence[Side]) -> Generator[Meet, Reply, None]:
        speaking = [side for side in sides if side.sends(leg)]
        hearing = [side for side in sides if side.hears(leg)]
        for side in speaking:
            self.sending.frame(side, leg)  # all offers, before the first frame leaves
        sending = self.sending
        outgoing = tuple([sending.leave(side) for side in speaking])
        incoming = tuple([(side.back, sending.next(side.back)) for side in hearing if side.back is not None])
        reply = yield Meet(when, leg, outgoing, incoming)
        for side in sides:
            side.heard.clear()
        for side, entries in zip(hearing, reply, strict=True):
            for number, message in entries:
                if number in side.numbers:
                    side.heard[number] = message
                    if self.exchanges[number].legs == leg + 1:
                        side.last[number] = message

    def _settle(self, sides: list[Side], due: list[int]) -> None:
        for number in due:
            received = [Received(s.neighbour, s.last[number]) for s in sides if number in s.last]
            self.exchanges[number].settle(received)

    def oracles(self) -> list[str]:
        """The oracle information that each exchange uses."""
        return [
            f"[[exchange]] {number} ({self.kinds[number]}): {name}"
            for number, exchange in enumerate(self.exchanges)
            for name in exchange.oracles
        ]

    def facts(self) -> list[Facts]:
        """What neighbours compare at the start, per exchange."""
        return [exchange.start_facts() for exchange in self.exchanges]

    def compare_facts(self, neighbour: int, theirs: list[Facts]) -> str | None:
        """Why some exchange cannot work with a neighbour that has these facts; None when all can."""
        for number, exchange in self._shared_with(neighbour):
            wrong = exchange.compare_facts(exchange.start_facts(), theirs[number])
            if wrong:
                return f"[[exchange]] {number} ({self.kinds[number]}): {wrong}"
        return None

    def learn_facts(self, neighbour: int, theirs: list[Facts]) -> list[str]:
        """Hand a neighbour's facts to the exchanges; notes about what cannot be shared with it."""
        notes = []
        for number, exchange in self._shared_with(neighbour):
            note = exchange.learn_facts(neighbour, exchange.start_facts(), theirs[number])
            if note:
                notes.append(f"note: [[exchange]] {number} ({self.kinds[number]}): {note}")
        return notes

    def speaks_to(self, neighbour: int) -> bool:
        """Whether this end says what both ends know: the lower number, or who alone hears of the other."""
        return self.agent < neighbour or neighbour not in self.topology.outgoing(self.agent)

    def _shared_with(self, neighbour: int) -> list[tuple[int, Exchange]]:
        """The exchanges that use a link to or from `neighbour`."""
        links = [found for side in self._links() if (found := side.get(neighbour)) is not None]
        return [
            (number, exchange)
            for number, exchange in enumerate(self.exchanges)
            if any(link.in_class(self.rhythms[number].links) for link in links)
        ]

    def _links(self) -> tuple[dict[int, Link], dict[int, Link]]:
        return self.topology.outgoing(self.agent), self.topology.incoming(self.agent)

    def check(self) -> None:
        """Raises ExperimentError when a budget is below the least bytes, or an answer has no way back."""
        outgoing, incoming = self._links()
        for target, link in outgoing.items():
            numbers = [n for n, r in enumerate(self.rhythms) if link.in_class(r.links)]
            legs = self._legs_between(link, incoming.get(target))
            answering = [n for n in numbers if self.exchanges[n].legs > 1]
            back = incoming.get(target)
            for number in answering:
                if back is None or not back.in_class(self.rhythms[number].links):
                    raise ExperimentError(
                        f"[[exchange]] {number} ({self.kinds[number]}) answers and needs links both ways. "
                        f"Found {link.name} without one back. Add the link back, or give this exchange a "
                        "link class."
                    )
            leasts = [self.byte_range(n, target, link.budget).least for n in numbers]
            check_budget(link, [self.kinds[n] for n in numbers], leasts, legs, self._more_head_bytes)

    def _legs_between(self, *links: Link | None) -> int:
        """The most frames of one meeting on each of these links: empty ones count, and need their header."""
        rules = zip(self.exchanges, self.rhythms, strict=True)
        used = [
            e.legs for e, r in rules if any(link is not None and link.in_class(r.links) for link in links)
        ]
        return max(used, default=0)

    def tables(self) -> list[tuple[str, Tables]]:
        """Those of each exchange, by its class; `divergence`: how far neighbours were at each averaging."""
        rows = self.divergence
        own = [("Meetings", {DIVERGENCE: to_columns(Divergence, rows)})] if rows else []
        return [*own, *((type(one).__name__, one.tables()) for one in self.exchanges)]

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the tables of a checkpoint, which hold those of other parts, too."""
        if DIVERGENCE in tables:
            self.divergence = from_columns(Divergence, tables[DIVERGENCE])
        for exchange in self.exchanges:
            exchange.load_tables(tables)

    def state(self) -> State:
        """Counters of every link and the state of every exchange."""
        exchanges = {str(n): state_of(exchange) for n, exchange in enumerate(self.exchanges)}
        return {**self.sending.state(), "exchanges": exchanges}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self.sending.load(state)
        for number, exchange in enumerate(self.exchanges):
            exchange.load(state["exchanges"][str(number)])
