"""Sharing by mail: frames leave at an agent's own ticks, and are handled at a tick of the receiver.

No agent waits for an answer. Of several messages of one exchange from one source the newest counts, others
are counted. What is asked is answered with the next frame back. A frame whose line is still busy is skipped,
so is one whose link is down, and one that is lost is empty: all are sent, so that the receiver never waits
for what does not come.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mpidcl.base.state import State
from mpidcl.errors import FrameError
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Received
from mpidcl.exchange.divergence import Divergence
from mpidcl.exchange.meeting import Meetings
from mpidcl.exchange.packing.messages import copied, packed, unpacked
from mpidcl.exchange.sending import answer_room
from mpidcl.network.frames.budget import Allowance, check_room
from mpidcl.network.frames.conditions import is_down, is_lost, jitter, seconds_on, shortest_way
from mpidcl.network.frames.frame import Entry, message_bytes, message_sizes
from mpidcl.network.frames.message import Message
from mpidcl.network.requests import Meet, Outgoing, Reply, Request
from mpidcl.network.schedule.clock import Clock
from mpidcl.network.schedule.ticks import Absences
from mpidcl.network.schedule.timetable import Event, Phase, Use
from mpidcl.network.schedule.topology import Link
from mpidcl.record.tables import Table, Tables, from_columns, to_columns

STAMP = 2**16 - 1
"""Number of the message that every frame has: when it left, when it arrives, and what became of it."""
SENT, LOST, SKIPPED, DOWN = range(4)
ALL_LINKS = -1


LIKE_ALL = Message("mail", {"left": 0.0, "at": 0.0, "fate": SENT})
"""All stamps look like this one."""
STAMP_BYTES = message_bytes(LIKE_ALL)


def _stamp(left: float, at: float, fate: int) -> Entry:
    return STAMP, Message("mail", {"left": left, "at": at, "fate": fate}).alike(LIKE_ALL)


class Letter(NamedTuple):
    """A frame that has come: it left `source` at `left` as its `number`-th, and arrives at `at`."""

    at: float
    source: int
    number: int
    left: float
    entries: tuple[Entry, ...]


class _Speaking(NamedTuple):
    """Who may speak on a link: exchanges and their ranges, their least bytes, and room for answers back."""

    ranges: list[tuple[int, ByteRange]]
    leasts: list[int]
    back: int


@dataclass(slots=True)
class Came:
    """What has become of the frames from one source.

    frames: that were due; skipped, lost, down: so many had nothing in them, for their sender's line was busy,
    the network lost them, or their link was not there when they should have left; dropped: came while this
    agent was away.
    messages: that were used; late: that came after a newer one, or beside it.
    age: seconds of virtual time from leaving to use, summed over messages.
    """

    source: int
    frames: int = 0
    lost: int = 0
    skipped: int = 0
    down: int = 0
    dropped: int = 0
    messages: int = 0
    late: int = 0
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Aged:
    """How many `messages` of an exchange from one source were used at an age below 2 ** power seconds.

    And not below half of that; `power` is LEAST_POWER for all that were younger.
    """

    source: int
    exchange: int
    power: int
    messages: int


LEAST_POWER = -20
"""A millionth of a second."""


def _power(age: float) -> int:
    return max(LEAST_POWER, math.frexp(age)[1]) if age > 0 else LEAST_POWER


class Mail(Meetings):
    """The mail of one agent, under a clock with virtual time."""

    _more_head_bytes: ClassVar[int] = STAMP_BYTES
    _row: ClassVar[type[Came]] = Came

    def _begin(self) -> None:
        self._absences: Absences | None = None
        self._known: dict[int, _Speaking] = {}  # by link
        self._letters: list[Letter] = []
        self._questions: dict[tuple[int, int], Message] = {}  # (source, slot): to be answered
        self._newest: dict[tuple[int, int], int] = {}  # (source, slot): number of the newest frame
        self._busy: dict[int, float] = {}  # link, or ALL_LINKS: until when its line is
        self._came: dict[int, Came] = {}
        self._aged: dict[tuple[int, int, int], int] = {}  # (source, exchange, power): messages
        self._ways: dict[int, float] = {}  # link: its shortest

    def _way(self, link: Link) -> float:
        """The shortest way of a link, which never changes."""
        way = self._ways.get(link.index)
        if way is None:
            way = self._ways[link.index] = shortest_way(link)
        return way

    def keep_to(self, clock: Clock) -> None:
        """What arrives while this agent is away is dropped."""
        self._absences = clock.absences_of(self.agent)
        away = functools.lru_cache(64)(clock.absences_of)
        for exchange in self.exchanges:
            exchange.is_away = functools.partial(_is_away, away, exchange)

    def hold(self, event: Event) -> Generator[Request, Reply, None]:
        """What is due at an event: wait for frames and handle what has arrived, or send."""
        if event.due:
            yield from self._wait(event)
        self._tell_time(event)
        match event.moment.phase:
            case Phase.ARRIVE:
                self._handle(event)
            case Phase.AFTER:
                yield from self._send(event)

    # --- what comes -------------------------------------------------------------------------------

    def _wait(self, event: Event) -> Generator[Meet, Reply, None]:
        links = [
            self.topology.incoming(self.agent)[due.neighbour] for due in event.due for _ in range(due.frames)
        ]
        incoming = tuple([(link, self.sending.next(link)) for link in links])
        reply = yield Meet(event.moment, 0, (), incoming, copied=True)
        before = (float(event.moment.time), self.agent)
        for (link, number), entries in zip(incoming, reply, strict=True):
            letter = self._opened(link, number, entries)
            now = event.moment.phase is Phase.ARRIVE and (letter.at, letter.source) < before
            self._letters.append(letter if now else _kept(letter))

    def _opened(self, link: Link, number: int, entries: Sequence[Entry]) -> Letter:
        """A frame with its stamp read. Raises FrameError for a stamp that cannot be."""
        stamps = [message.scalars for place, message in entries if place == STAMP]
        try:
            (stamp,) = stamps
            left, at, fate = float(stamp["left"]), float(stamp["at"]), int(stamp["fate"])
        except (ValueError, KeyError) as error:
            raise FrameError(f"{link.name}, frame {number}: should have one stamp. Found {error}.") from None
        if not (left >= 0 and left + self._way(link) <= at < math.inf and 0 <= fate < 4):
            raise FrameError(
                f"{link.name}, frame {number}: should arrive {shortest_way(link):g} s after it left or later."
                f" Found that it left at {left!r} s and arrives at {at!r} s ({fate}). Its sender runs another"
                " version or experiment; start all ranks from the same installation."
            )
        came = self._came.get(link.source)
        if came is None:
            came = self._came[link.source] = Came(link.source)
        came.frames += 1
        if fate != SENT:
            came.lost += fate == LOST
            came.skipped += fate == SKIPPED
            came.down += fate == DOWN
        rest = tuple([entry for entry in entries if entry[0] != STAMP])
        self._check_slots(link, number, [slot for slot, _ in rest])
        return Letter(at, link.source, number, left, rest)

    def _check_slots(self, link: Link, number: int, slots: Sequence[int]) -> None:
        """Raises FrameError for a message of an exchange, or of a leg of one, that there is not."""
        for slot in slots:
            leg, exchange = divmod(slot, len(self.exchanges))
            if leg >= (legs := self.exchanges[exchange].legs):
                raise FrameError(
                    f"{link.name}, frame {number}: a message of [[exchange]] {exchange}"
                    f" ({self.kinds[exchange]}) should have a leg below {legs}. Found {leg}: its sender runs"
                    " another experiment."
                )

    def _handle(self, event: Event) -> None:
        """Take in what has arrived before this tick, in order of (arrival, source, number)."""
        now = float(event.moment.time)
        tick = now, self.agent
        if here := [one for one in self._letters if one[:2] < tick]:
            self._letters = [one for one in self._letters if one[:2] >= tick]
            self._take(here, now)

    def _take(self, here: Sequence[Letter], now: float) -> None:
        """Of each exchange and source use the newest message."""
        found: dict[tuple[int, int], tuple[Letter, Message]] = {}
        for letter in sorted(here, key=lambda one: one[:3]):
            came = self._came[letter.source]
            if self._absences is not None and self._absences.at(letter.at):
                came.dropped += 1
                continue
            for slot, message in letter.entries:
                key = letter.source, slot
                if letter.number > self._newest.get(key, -1):
                    self._newest[key] = letter.number
                    came.late += key in found
                    found[key] = letter, message
                else:
                    came.late += 1
        self._use(now, found)

    def _use(self, now: float, found: dict[tuple[int, int], tuple[Letter, Message]]) -> None:
        last: dict[int, list[Received]] = {}
        for (source, slot), (letter, message) in sorted(found.items(), key=lambda one: one[0]):
            came = self._came[source]
            came.messages += 1
            came.age += (age := self._age(letter, now))
            leg, number = divmod(slot, len(self.exchanges))
            old = source, number, _power(age)
            self._aged[old] = self._aged.get(old, 0) + 1
            if leg + 1 < self.exchanges[number].legs:
                self._questions[source, slot] = copied(message)
            else:
                last.setdefault(number, []).append(Received(source, message))
        for number, received in sorted(last.items()):
            self.exchanges[number].settle(received)
            self.divergence += [Divergence(now, *d) for d in self.exchanges[number].distances()]

    def _age(self, letter: Letter, now: float) -> float:
        return now - letter.left

    # --- what leaves ------------------------------------------------------------------------------

    def _send(self, event: Event) -> Generator[Meet, Reply, None]:
        now = float(event.moment.time)
        asking = {number for use in event.uses for number in use.exchanges}
        for number in sorted(asking):
            self.exchanges[number].begin_use(event.task)
        busy = {line for line, until in self._busy.items() if until > now}
        outgoing = tuple([self._leaving(now, use, busy) for use in event.uses])
        yield Meet(event.moment, 0, outgoing, (), copied=True)
        for exchange in self.exchanges:
            exchange.end_use()

    def _leaving(self, now: float, use: Use, busy: Collection[int]) -> Outgoing:
        """A frame with what is asked and answered, or an empty one where its line is busy or its link down.

        On one line for all links frames of one tick leave one after the other.
        """
        link = self.topology.outgoing(self.agent)[use.neighbour]
        number, line = self.sending.next(link), ALL_LINKS if link.shared else link.index
        if (down := bool(link.down) and is_down(link, now)) or line in busy:
            self.sending.count(link, number, [], [], STAMP_BYTES)
            stamp = _stamp(now, now + self._way(link), DOWN if down else SKIPPED)
            return Outgoing(link, number, (stamp,))
        entries = list(self._said(link, use))
        size = self._counted(link, number, entries)
        gone = max(now, self._busy.get(line, 0.0)) + seconds_on(link, size)
        self._busy[line] = gone
        at = max(gone + link.latency + jitter(self.seed, link, number), now + self._way(link))
        if is_lost(self.seed, link, number):
            return Outgoing(link, number, (_stamp(now, at, LOST),))
        return Outgoing(link, number, (_stamp(now, at, SENT), *entries))

    def _counted(self, link: Link, number: int, entries: Sequence[Entry]) -> int:
        """The bytes of a frame, which the ledger counts."""
        sizes = [message_sizes(message) for _, message in entries]
        told = [(slot % len(self.exchanges), message) for slot, message in entries]
        return self.sending.count(link, number, told, sizes, self._more_head_bytes)

    def _said(self, link: Link, use: Use) -> Iterator[Entry]:
        """What every exchange of a link says, within its budget: answers first, then what it asks."""
        ranges, leasts, back = self._speaking(link)
        allowance = Allowance(link, leasts, 1)
        count = self.sending.use(link) if use.exchanges else 0
        for number, (least, most) in ranges:
            exchange, room, used = self.exchanges[number], allowance.room(least, most), 0
            for leg in range(1, exchange.legs):
                question = self._questions.pop((link.target, number + (leg - 1) * len(self.exchanges)), None)
                if question is not None:
                    left = min(room - used, question.room)
                    message = exchange.answer(LinkUse(self.agent, link.target, left, 0, count), question)
                    if message is not None:
                        used += self._size(link, number, message, left)
                        yield number + leg * len(self.exchanges), message
            if number in use.exchanges:
                left = room - used
                asked = exchange.ask(LinkUse(self.agent, link.target, left, back, count))
                if asked is not None:
                    used += self._size(link, number, asked, left)
                    yield number, asked
            allowance.take(least, used)

    def _speaking(self, link: Link) -> _Speaking:
        """What is the same for all frames of a link."""
        if link.index not in self._known:
            numbers = [n for n, rule in enumerate(self.rhythms) if link.in_class(rule.links)]
            ranges = [(n, self.byte_range(n, link.target, link.budget)) for n in numbers]
            leasts = [self._more_head_bytes, *(one.least for _, one in ranges)]
            back = answer_room(self.topology.incoming(self.agent).get(link.target))
            self._known[link.index] = _Speaking(ranges, leasts, back)
        return self._known[link.index]

    def _size(self, link: Link, number: int, message: Message, room: int) -> int:
        size = message_bytes(message)
        check_room(link, self.kinds[number], size, room)
        return size

    # --- the start, the record, a checkpoint ------------------------------------------------------

    def _legs_between(self, *links: Link | None) -> int:
        """Frames of one use of a link: asks and answers travel together."""
        return 1

    def tables(self) -> list[tuple[str, Tables]]:
        """`mail`: what became of the frames from each source; `ages` of its messages; those of meetings."""
        came = [self._came[source] for source in sorted(self._came)]
        aged = [Aged(*key, messages) for key, messages in sorted(self._aged.items())]
        own = {"mail": to_columns(self._row, came), "ages": to_columns(Aged, aged)}
        return [
            ("Mail", {name: table for name, table in own.items() if len(table["source"])}),
            *super().tables(),
        ]

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the tables of a checkpoint, which hold those of other parts, too."""
        if "mail" in tables:
            self._came = {row.source: row for row in from_columns(self._row, tables["mail"])}
        if "ages" in tables:
            rows = from_columns(Aged, tables["ages"])
            self._aged = {(row.source, row.exchange, row.power): row.messages for row in rows}
        super().load_tables(tables)

    def state(self) -> State:
        """Also letters that have come and not been handled, questions, and until when lines are busy."""
        letters = {
            str(n): {**dict(zip(("at", "source", "number", "left"), one[:4], strict=True)),
                     "entries": packed(one.entries)}
            for n, one in enumerate(sorted(self._letters, key=lambda one: one[:3]))
        }  # fmt: skip
        questions = {
            str(n): {"source": source, "slot": slot, "entries": packed(((slot, message),))}
            for n, ((source, slot), message) in enumerate(sorted(self._questions.items(), key=lambda q: q[0]))
        }
        newest = np.array([[*key, number] for key, number in sorted(self._newest.items())], np.int64)
        busy = {str(index): until for index, until in sorted(self._busy.items())}
        own = {"letters": letters, "questions": questions, "newest": newest.reshape(-1, 3), "busy": busy}
        return {**super().state(), "mail": own}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        super().load(state)
        own = state["mail"]
        self._letters = [
            Letter(
                float(one["at"]), int(one["source"]), int(one["number"]), float(one["left"]),
                unpacked(one["entries"]),
            )
            for _, one in sorted(own["letters"].items(), key=lambda item: int(item[0]))
        ]  # fmt: skip
        self._questions = {
            (int(one["source"]), int(one["slot"])): unpacked(one["entries"])[0][1]
            for _, one in sorted(own["questions"].items(), key=lambda item: int(item[0]))
        }
        newest = np.asarray(own["newest"], np.int64).reshape(-1, 3).tolist()
        self._newest = {(source, slot): number for source, slot, number in newest}
        self._busy = {int(index): float(until) for index, until in own["busy"].items()}


def _is_away(absences: Callable[[int], Absences | None], exchange: Exchange, agent: int) -> bool:
    found = absences(agent)
    return found is not None and found.at(exchange.now)


def _kept(letter: Letter) -> Letter:
    return letter._replace(entries=tuple((slot, copied(message)) for slot, message in letter.entries))
