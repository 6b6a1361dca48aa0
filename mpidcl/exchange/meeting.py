"""Holds an agent's meetings: asks, answers, settles in legs, within each link's budget."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from mpidcl.errors import ExperimentError
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Received
from mpidcl.network.frames.budget import UNLIMITED, Allowance, check_budget, check_room
from mpidcl.network.frames.conditions import is_lost
from mpidcl.network.frames.frame import Entry, message_bytes
from mpidcl.network.frames.ledger import Ledger
from mpidcl.network.frames.message import Message
from mpidcl.network.requests import Meet, Outgoing, Reply
from mpidcl.network.schedule.timetable import Event, Rhythm, Use
from mpidcl.network.schedule.topology import Link, Topology
from mpidcl.record.records import Divergence


class _Side:
    """This agent's side of a meeting with one neighbour."""

    def __init__(self, use: Use, out: Link | None, back: Link | None, legs: int) -> None:
        self.use, self.out, self.back, self.legs = use, out, back, legs
        self.rooms: dict[int, int] = {}  # exchange -> bytes it may still put on `out`
        self.heard: dict[int, Message] = {}  # exchange -> its message of this leg
        self.last: dict[int, Message] = {}  # exchange -> its message of the exchange's last leg

    def sends(self, leg: int) -> bool:
        return self.out is not None and leg < self.legs

    def hears(self, leg: int) -> bool:
        return self.back is not None and leg < self.legs


class Meetings:
    """All meetings of one agent. The exchanges are in file order; `rhythms` tell their link classes."""

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
        self._agent, self._topology, self._seed = agent, topology, seed
        self.exchanges, self._rhythms, self._kinds, self._ledger = exchanges, rhythms, kinds, ledger
        self._numbers: dict[int, int] = {}
        self._uses: dict[int, int] = {}
        self._ranges: dict[tuple[int, int], ByteRange] = {}
        self.divergence: list[Divergence] = []

    @property
    def topology(self) -> Topology:
        """The network in which this agent meets its neighbours."""
        return self._topology

    def hold(self, event: Event) -> Generator[Meet, Reply, None]:
        """One meeting with every neighbour that is due; asks and answers come from the state before it."""
        sides = [self._side(use) for use in event.uses]
        due = sorted({number for side in sides for number in side.use.exchanges})
        for number in due:
            self.exchanges[number].begin_use(event.task)
        for leg in range(max(side.legs for side in sides)):
            frames = [(side, self._frame(side, leg)) for side in sides if side.sends(leg)]
            for side in sides:
                side.heard = {}
            yield from self._leg(str(event.moment), leg, frames, [s for s in sides if s.hears(leg)])
            for side in sides:
                side.last |= {n: said for n, said in side.heard.items() if self.exchanges[n].legs == leg + 1}
        self._settle(sides, due)
        for number in due:
            self.divergence += [
                Divergence(float(event.moment.time), *d) for d in self.exchanges[number].distances()
            ]

    def _side(self, use: Use) -> _Side:
        out = self._topology.outgoing[self._agent].get(use.neighbour)
        back = self._topology.incoming[self._agent].get(use.neighbour)
        return _Side(use, out, back, max(self.exchanges[number].legs for number in use.exchanges))

    def _on(self, side: _Side, link: Link | None) -> list[int]:
        """Exchanges of this use that travel on `link`."""
        numbers = side.use.exchanges
        return [n for n in numbers if link is not None and link.in_class(self._rhythms[n].links)]

    def _frame(self, side: _Side, leg: int) -> tuple[Entry, ...]:
        return self._ask(side) if leg == 0 else self._answer(side, leg)

    def byte_range(self, number: int, target: int, budget: int | None) -> ByteRange:
        """What exchange `number` declares for the link to `target` (constant, so asked once)."""
        key = (number, target)
        if key not in self._ranges:
            self._ranges[key] = self.exchanges[number].bytes_range(target, budget)
        return self._ranges[key]

    def _ask(self, side: _Side) -> tuple[Entry, ...]:
        out, back = side.out, side.back
        assert out is not None  # `sends` said so
        numbers = self._on(side, out)
        ranges = {n: self.byte_range(n, out.target, out.budget) for n in numbers}
        allowance = Allowance(out, [ranges[n].least for n in numbers], side.legs)
        use_number = self._uses.get(out.index, 0)
        self._uses[out.index] = use_number + 1
        entries: list[Entry] = []
        for number in numbers:
            exchange, (least, most) = self.exchanges[number], ranges[number]
            room = allowance.room(least, most)
            answer_room = self._answer_room(number, back)
            message = exchange.ask(LinkUse(self._agent, out.target, room, answer_room, use_number))
            used = self._add(entries, out, number, message, room)
            side.rooms[number] = room - used
            # an exchange that answers later keeps its whole room; what a one-way one leaves is free
            allowance.take(least, room if exchange.legs > 1 else used)
        return tuple(entries)

    def _answer_room(self, number: int, back: Link | None) -> int:
        """The most that an answer over the link back may take: its budget, as its sender declares it."""
        if back is None:
            return 0
        return UNLIMITED if back.budget is None else back.budget

    def _answer(self, side: _Side, leg: int) -> tuple[Entry, ...]:
        out = side.out
        assert out is not None
        entries: list[Entry] = []
        for number, message in sorted(side.heard.items()):
            exchange = self.exchanges[number]
            if leg < exchange.legs:
                room = min(side.rooms.get(number, 0), message.room)
                use = LinkUse(self._agent, out.target, room, 0, self._uses[out.index] - 1)
                used = self._add(entries, out, number, exchange.answer(use, message), room)
                side.rooms[number] = side.rooms.get(number, 0) - used
        return tuple(entries)

    def _add(self, entries: list[Entry], link: Link, number: int, message: Message | None, room: int) -> int:
        if message is None:
            return 0
        used = message_bytes(message)
        check_room(link, self._kinds[number], used, room)
        entries.append((number, message))
        return used

    def _leg(
        self, when: str, leg: int, frames: list[tuple[_Side, tuple[Entry, ...]]], hearing: list[_Side]
    ) -> Generator[Meet, Reply, None]:
        outgoing = tuple(
            self._outgoing(side.out, entries) for side, entries in frames if side.out is not None
        )
        incoming = tuple((side.back, self._next(side.back)) for side in hearing if side.back is not None)
        reply = yield Meet(when, leg, outgoing, incoming)
        for side, entries in zip(hearing, reply, strict=True):
            side.heard = {number: message for number, message in entries if number in side.use.exchanges}

    def _outgoing(self, link: Link, entries: tuple[Entry, ...]) -> Outgoing:
        number = self._next(link)
        if self._ledger is not None:
            self._ledger.count(link, entries)
        return Outgoing(link, number, () if is_lost(self._seed, link, number) else entries)

    def _next(self, link: Link) -> int:
        number = self._numbers.get(link.index, 0)
        self._numbers[link.index] = number + 1
        return number

    def _settle(self, sides: list[_Side], due: list[int]) -> None:
        for number in due:
            received = [Received(s.use.neighbour, s.last[number]) for s in sides if number in s.last]
            self.exchanges[number].settle(received)

    def oracles(self) -> list[str]:
        """The oracle information that each exchange uses."""
        return [
            f"[[exchange]] {number} ({self._kinds[number]}): {name}"
            for number, exchange in enumerate(self.exchanges)
            for name in exchange.oracles
        ]

    def facts(self) -> list[dict[str, Any]]:
        """What neighbours compare at the start, per exchange."""
        return [exchange.start_facts() for exchange in self.exchanges]

    def compare_facts(self, neighbour: int, theirs: list[dict[str, Any]]) -> str | None:
        """Why some exchange cannot work with a neighbour that has these facts; None when all can."""
        for number, exchange in self._shared_with(neighbour):
            wrong = exchange.compare_facts(exchange.start_facts(), theirs[number])
            if wrong:
                return f"[[exchange]] {number} ({self._kinds[number]}): {wrong}"
        return None

    def learn_facts(self, neighbour: int, theirs: list[dict[str, Any]]) -> list[str]:
        """Hand a neighbour's facts to the exchanges; notes about what cannot be shared with it."""
        notes = []
        for number, exchange in self._shared_with(neighbour):
            note = exchange.learn_facts(neighbour, exchange.start_facts(), theirs[number])
            if note:
                notes.append(f"note: [[exchange]] {number} ({self._kinds[number]}): {note}")
        return notes

    def speaks_to(self, neighbour: int) -> bool:
        """Whether this end says what both ends know: the lower number, or who alone hears of the other."""
        return self._agent < neighbour or neighbour not in self._topology.outgoing[self._agent]

    def _shared_with(self, neighbour: int) -> list[tuple[int, Exchange]]:
        """The exchanges that use a link to or from `neighbour`."""
        links = [found for side in self._links() if (found := side.get(neighbour)) is not None]
        return [
            (number, exchange)
            for number, exchange in enumerate(self.exchanges)
            if any(link.in_class(self._rhythms[number].links) for link in links)
        ]

    def _links(self) -> tuple[dict[int, Link], dict[int, Link]]:
        return self._topology.outgoing[self._agent], self._topology.incoming[self._agent]

    def check(self) -> None:
        """Raises ExperimentError when a budget is below the least bytes, or an answer has no way back."""
        outgoing, incoming = self._links()
        for target, link in outgoing.items():
            numbers = [n for n, r in enumerate(self._rhythms) if link.in_class(r.links)]
            legs = self._legs_between(link, incoming.get(target))
            answering = [n for n in numbers if self.exchanges[n].legs > 1]
            back = incoming.get(target)
            for number in answering:
                if back is None or not back.in_class(self._rhythms[number].links):
                    raise ExperimentError(
                        f"[[exchange]] {number} ({self._kinds[number]}) answers and needs links both ways. "
                        f"Found {link.name} without one back. Add the link back, or give this exchange a "
                        "link class."
                    )
            leasts = [self.byte_range(n, target, link.budget).least for n in numbers]
            check_budget(link, [self._kinds[n] for n in numbers], leasts, legs)

    def _legs_between(self, *links: Link | None) -> int:
        """The most frames of one meeting on each of these links: empty ones count, and need their header."""
        rules = zip(self.exchanges, self._rhythms, strict=True)
        used = [
            e.legs for e, r in rules if any(link is not None and link.in_class(r.links) for link in links)
        ]
        return max(used, default=0)

    def state(self) -> dict[str, Any]:
        """Counters of every link and the state of every exchange."""
        return {
            "numbers": {str(index): number for index, number in sorted(self._numbers.items())},
            "uses": {str(index): number for index, number in sorted(self._uses.items())},
            "exchanges": {str(n): exchange.state() for n, exchange in enumerate(self.exchanges)},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self._numbers = {int(index): int(number) for index, number in state["numbers"].items()}
        self._uses = {int(index): int(number) for index, number in state["uses"].items()}
        for number, exchange in enumerate(self.exchanges):
            exchange.load(state["exchanges"][str(number)])
