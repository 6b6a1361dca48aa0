"""What leaves an agent in its meetings: who may say how much, the numbers of frames, losses and accounts."""

from __future__ import annotations

from collections.abc import Sequence

from mpidcl.base.state import State
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse
from mpidcl.network.frames.budget import UNLIMITED, Allowance, check_room
from mpidcl.network.frames.conditions import is_lost
from mpidcl.network.frames.frame import Entry, message_sizes
from mpidcl.network.frames.ledger import Ledger
from mpidcl.network.frames.message import Message
from mpidcl.network.requests import Outgoing
from mpidcl.network.schedule.topology import Link


class Side:
    """This agent's side of its meetings with one neighbour in which the same exchanges are due.

    `asking` are those that travel on `out`. It is used again at every such meeting.
    """

    __slots__ = (
        "asking",
        "back",
        "entries",
        "heard",
        "last",
        "legs",
        "neighbour",
        "numbers",
        "out",
        "ranges",
        "rooms",
        "sizes",
    )

    def __init__(
        self,
        neighbour: int,
        numbers: tuple[int, ...],
        out: Link | None,
        back: Link | None,
        legs: int,
        asking: list[int],
    ) -> None:
        self.neighbour, self.numbers, self.out, self.back = neighbour, numbers, out, back
        self.legs, self.asking = legs, asking
        self.ranges: list[ByteRange] = []  # what those that ask declare, once they have been asked
        self.rooms: dict[int, int] = {}  # exchange -> bytes it may still put on `out`
        self.heard: dict[int, Message] = {}  # exchange -> its message of this leg
        self.last: dict[int, Message] = {}  # exchange -> its message of the exchange's last leg
        self.entries: list[Entry] = []  # of the frame that is being made
        self.sizes: list[tuple[int, int]] = []

    def begin(self) -> None:
        """Another meeting."""
        self.rooms.clear()
        self.heard.clear()
        self.last.clear()

    def sends(self, leg: int) -> bool:
        return self.out is not None and leg < self.legs

    def hears(self, leg: int) -> bool:
        return self.back is not None and leg < self.legs


class Sending:
    """Makes the frames of one agent. The exchanges are in file order; `kinds` are their names for errors."""

    def __init__(
        self,
        agent: int,
        exchanges: Sequence[Exchange],
        kinds: Sequence[str],
        ledger: Ledger | None,
        seed: int,
    ) -> None:
        self._agent, self._exchanges, self._kinds = agent, exchanges, kinds
        self._ledger, self._seed = ledger, seed
        self._numbers: dict[int, int] = {}
        self._uses: dict[int, int] = {}
        self._ranges: dict[tuple[int, int], ByteRange] = {}

    def byte_range(self, number: int, target: int, budget: int | None) -> ByteRange:
        """What exchange `number` declares for the link to `target` (constant, so asked once)."""
        key = (number, target)
        if key not in self._ranges:
            self._ranges[key] = self._exchanges[number].bytes_range(target, budget)
        return self._ranges[key]

    def frame(self, side: Side, leg: int) -> None:
        """Let the exchanges say what this side sends in this leg, within the budget of its link."""
        side.entries, side.sizes = [], []
        if leg == 0:
            self._ask(side)
        else:
            self._answer(side, leg)

    def leave(self, side: Side) -> Outgoing:
        """Number and count the frame that `frame` has made; it may be lost, and is an empty one then."""
        link = side.out
        assert link is not None  # `Side.sends` said so
        number = self.next(link)
        self.count(link, number, side.entries, side.sizes)
        return Outgoing(link, number, () if is_lost(self._seed, link, number) else tuple(side.entries))

    def count(
        self,
        link: Link,
        number: int,
        entries: Sequence[Entry],
        sizes: Sequence[tuple[int, int]],
        more: int = 0,
    ) -> int:
        """Count a frame in the ledger, which says how many bytes it has; `more` of its head."""
        return 0 if self._ledger is None else self._ledger.count(link, number, entries, sizes, more)

    def use(self, link: Link) -> int:
        """The number of the next use of an outgoing link."""
        number = self._uses.get(link.index, 0)
        self._uses[link.index] = number + 1
        return number

    def next(self, link: Link) -> int:
        """The number of the next frame of a link, of which this agent is one end."""
        number = self._numbers.get(link.index, 0)
        self._numbers[link.index] = number + 1
        return number

    def _ask(self, side: Side) -> None:
        out = side.out
        assert out is not None
        if not side.ranges:
            side.ranges = [self.byte_range(number, out.target, out.budget) for number in side.asking]
        ranges = side.ranges
        allowance = Allowance(out, [one.least for one in ranges], side.legs)
        use_number, back_room = self.use(out), answer_room(side.back)
        for number, (least, most) in zip(side.asking, ranges, strict=True):
            exchange, room = self._exchanges[number], allowance.room(least, most)
            message = exchange.ask(LinkUse(self._agent, out.target, room, back_room, use_number))
            used = self._add(side, number, message, room)
            side.rooms[number] = room - used
            # an exchange that answers later keeps its whole room; what a one-way one leaves is free
            allowance.take(least, room if exchange.legs > 1 else used)

    def _answer(self, side: Side, leg: int) -> None:
        out = side.out
        assert out is not None
        for number, message in sorted(side.heard.items()):
            exchange = self._exchanges[number]
            if leg < exchange.legs:
                room = min(side.rooms.get(number, 0), message.room)
                use = LinkUse(self._agent, out.target, room, 0, self._uses[out.index] - 1)
                used = self._add(side, number, exchange.answer(use, message), room)
                side.rooms[number] = side.rooms.get(number, 0) - used

    def _add(self, side: Side, number: int, message: Message | None, room: int) -> int:
        if message is None:
            return 0
        assert side.out is not None
        sizes = message_sizes(message)
        check_room(side.out, self._kinds[number], sizes[1], room)
        side.entries.append((number, message))
        side.sizes.append(sizes)
        return sizes[1]

    def state(self) -> State:
        """Counters of every link."""
        return {
            "numbers": {str(index): number for index, number in sorted(self._numbers.items())},
            "uses": {str(index): number for index, number in sorted(self._uses.items())},
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._numbers = {int(index): int(number) for index, number in state["numbers"].items()}
        self._uses = {int(index): int(number) for index, number in state["uses"].items()}


def answer_room(back: Link | None) -> int:
    """The most that an answer over the link back may take: its budget, as its sender declares it."""
    if back is None:
        return 0
    return UNLIMITED if back.budget is None else back.budget
