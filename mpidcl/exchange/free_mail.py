"""Mail under the clock `free`: a tick handles whatever has come, and waits for nothing.

At its end an agent sends the last frame of each link, and handles what still comes until it has the last one
of each of its neighbours; what is asked then is answered by nobody. A frame is left out where so many of its
link have not been taken yet: nobody else would bound what a slow neighbour leaves lying.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from mpidcl.base.state import State
from mpidcl.errors import FrameError
from mpidcl.exchange.arrival_log import ArrivalLog
from mpidcl.exchange.mail import LOST, SENT, STAMP, Came, Letter, Mail
from mpidcl.network.frames.conditions import is_lost
from mpidcl.network.frames.frame import Entry, message_bytes
from mpidcl.network.frames.message import Message
from mpidcl.network.mailbox import MOST
from mpidcl.network.requests import Arrival, Arrived, Leave, Leaving, Outgoing, Reply
from mpidcl.network.schedule.timetable import Event, Phase, Use
from mpidcl.network.schedule.topology import Link
from mpidcl.record.tables import Table, Tables

Asking = Generator[Arrived | Leave | Leaving, Reply, None]


class Stamp(NamedTuple):
    """What every frame says of itself.

    tick: so many ticks its sender had begun; seconds: since the sender's process made it; fate: SENT or LOST;
    skipped: so many frames of the link were left out since the last one that left.
    """

    tick: int
    seconds: float
    fate: int
    skipped: int

    def entry(self) -> Entry:
        """As a message."""
        return STAMP, Message("mail", dict(self._asdict()))


@dataclass(slots=True)
class FreeCame(Came):
    """As under other clocks. `lost` also counts frames that were on their way when a run stopped.

    age: ticks of the sender from leaving to the newest that had been heard of at use, summed over messages.
    unanswered: questions that came after this agent had sent its last frame.
    """

    unanswered: int = 0


class FreeMail(Mail):
    """The mail of one agent under a clock that waits for nothing."""

    _more_head_bytes: ClassVar[int] = message_bytes(Stamp(0, 0.0, SENT, 0).entry()[1])
    _row: ClassVar[type[Came]] = FreeCame

    def _begin(self) -> None:
        super()._begin()
        self._came: dict[int, FreeCame] = {}  # type: ignore[assignment]
        self._began, self._ticks, self._leaves = time.monotonic(), 0, False
        self._next: dict[int, int] = {}  # source: number of its next frame
        self._heard: dict[int, int] = {}  # source: tick of the newest frame
        self._skipped: Counter[int] = Counter()  # link: frames left out since the last one that left
        self._log = ArrivalLog()
        self._open: dict[int, Link] | None = None  # links whose last frame has not come; None: not known yet

    def hold(self, event: Event) -> Asking:
        """What is due at an event: handle what has come, send, or say farewell."""
        match event.moment.phase:
            case Phase.ARRIVE:
                self._ticks += 1
                came: list[Arrival] = yield Arrived(event.moment, self._listening())
                self._handle_all(came, event)
            case Phase.AFTER:
                yield from self._send(event)
            case Phase.CUT:
                yield from self._say_farewell(event)

    def _listening(self) -> tuple[Link, ...]:
        """The links over which frames may still come."""
        if self._open is None:
            incoming = self.topology.incoming(self.agent).values()
            used = [link for link in incoming if any(link.in_class(rule.links) for rule in self.rhythms)]
            self._open = {link.index: link for link in used}
        return tuple(self._open.values())

    # --- what comes -------------------------------------------------------------------------------

    def _handle_all(self, came: Sequence[Arrival], event: Event) -> None:
        for one in came:
            if one.last and self._open is not None:
                del self._open[one.link.index]
        letters = [self._read(one) for one in came]
        if letters:
            self._take(letters, float(event.moment.time))

    def _read(self, arrival: Arrival) -> Letter:
        """A frame with its stamp read. Raises FrameError for a stamp that cannot be."""
        link, number = arrival.link, arrival.number
        stamps = [message for place, message in arrival.entries if place == STAMP]
        try:
            (one,) = stamps
            stamp = Stamp(**{name: one.scalars[name] for name in Stamp._fields})  # type: ignore[arg-type]
        except (ValueError, KeyError) as error:
            raise FrameError(f"{link.name}, frame {number}: should have one stamp. Found {error}.") from None
        if (
            stamp.tick < 0
            or not 0 <= stamp.seconds < float("inf")
            or stamp.skipped < 0
            or (stamp.fate not in (SENT, LOST))
        ):
            raise FrameError(
                f"{link.name}, frame {number}: its stamp should count ticks, seconds and frames from 0 on."
                f" Found {stamp}. Its sender runs another version; start all ranks from one installation."
            )
        self._count(link.source, number, stamp)
        self._log.add(link.source, number, stamp.tick, self._ticks, stamp.seconds, self._seconds())
        rest = tuple([entry for entry in arrival.entries if entry[0] != STAMP])
        self._check_slots(link, number, [slot for slot, _ in rest])
        return Letter(0.0, link.source, number, float(stamp.tick), rest)

    def _count(self, source: int, number: int, stamp: Stamp) -> None:
        came = self._came.setdefault(source, FreeCame(source))
        missing = max(0, number - self._next.get(source, 0))
        came.frames += 1 + stamp.skipped + missing
        came.lost += (stamp.fate == LOST) + missing
        came.skipped += stamp.skipped
        self._next[source], self._heard[source] = number + 1, stamp.tick

    def _age(self, letter: Letter, now: float) -> float:
        return max(0.0, self._heard[letter.source] - letter.left)

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    # --- what leaves ------------------------------------------------------------------------------

    def _send(self, event: Event) -> Asking:  # type: ignore[override]
        outgoing = self.topology.outgoing(self.agent)
        links = tuple([outgoing[use.neighbour] for use in event.uses])
        counts: Sequence[int] = yield Leaving(event.moment, links)
        speaking = [use for use, count in zip(event.uses, counts, strict=True) if count < MOST]
        for use, count in zip(event.uses, counts, strict=True):
            if count >= MOST and use.exchanges:
                self._skipped[outgoing[use.neighbour].index] += 1
        for number in sorted({number for use in speaking for number in use.exchanges}):
            self.exchanges[number].begin_use(event.task)
        frames = [self._frame(use) for use in speaking]
        leaving = tuple([frame for frame in frames if frame is not None])
        if leaving:
            yield Leave(event.moment, leaving)
        for exchange in self.exchanges:
            exchange.end_use()

    def _frame(self, use: Use, always: bool = False) -> Outgoing | None:
        """A frame with what is asked and answered; None where nothing is, unless there is `always` one."""
        link = self.topology.outgoing(self.agent)[use.neighbour]
        entries = list(self._said(link, use))
        if not entries and not use.exchanges and not always:
            return None
        number = self.sending.next(link)
        self._counted(link, number, entries)
        fate = LOST if is_lost(self.seed, link, number) else SENT
        stamp = Stamp(self._ticks, self._seconds(), fate, self._skipped.pop(link.index, 0)).entry()
        return Outgoing(link, number, (stamp,) if fate == LOST else (stamp, *entries))

    def _say_farewell(self, event: Event) -> Asking:
        """The last frame of each link, with what is to be answered; then what comes until that of each."""
        frames = [self._frame(use, always=True) for use in event.uses]
        for exchange in self.exchanges:
            exchange.end_use()
        yield Leave(event.moment, tuple([frame for frame in frames if frame is not None]), last=True)
        self._leaves = True
        while links := self._listening():
            came: list[Arrival] = yield Arrived(event.moment, links, wait=True)
            self._handle_all(came, event)
        self._leaves = False

    def _use(self, now: float, found: dict[tuple[int, int], tuple[Letter, Message]]) -> None:
        super()._use(now, found)
        if self._leaves:
            for source, _ in self._questions:
                self._came[source].unanswered += 1
            self._questions.clear()

    # --- the record, a checkpoint -----------------------------------------------------------------

    def tables(self) -> list[tuple[str, Tables]]:
        """Also `arrivals`: which frame was handled at which tick."""
        own = self._log.table()
        return [("FreeMail", {"arrivals": own} if len(own["source"]) else {}), *super().tables()]

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the tables of a checkpoint, which hold those of other parts, too."""
        if "arrivals" in tables:
            self._log = ArrivalLog(tables["arrivals"])
        super().load_tables(tables)

    def state(self) -> State:
        """Also how far this agent and its neighbours were, as far as it has heard."""
        own = {
            "ticks": self._ticks,
            "next": {str(source): number for source, number in sorted(self._next.items())},
            "heard": {str(source): tick for source, tick in sorted(self._heard.items())},
            "skipped": {str(index): count for index, count in sorted(self._skipped.items())},
        }
        return {**super().state(), "free": own}

    def load(self, state: State) -> None:
        """Put back what `state` returned.

        A neighbour that was further ahead goes back to its own checkpoint, and so do the numbers of its
        frames: whichever comes next is the newest.
        """
        super().load(state)
        own = state["free"]
        self._newest.clear()
        self._ticks = int(own["ticks"])
        self._next = {int(source): int(number) for source, number in own["next"].items()}
        self._heard = {int(source): int(tick) for source, tick in own["heard"].items()}
        self._skipped = Counter({int(index): int(count) for index, count in own["skipped"].items()})
