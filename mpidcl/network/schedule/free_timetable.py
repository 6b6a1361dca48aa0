"""The events of one agent under the clock `free`: its own ticks, and its farewell at the end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from heapq import merge
from itertools import accumulate, count, takewhile
from typing import TYPE_CHECKING

from mpidcl.network.schedule.chance import drawn
from mpidcl.network.schedule.in_tasks import InTasks
from mpidcl.network.schedule.timetable import START, Due, Event, Moment, Phase, Rhythm, Use

if TYPE_CHECKING:
    from mpidcl.network.schedule.topology import Link


@dataclass(frozen=True)
class FreeTimetable(InTasks):
    """The events of one agent, at times of its own progress.

    At the cut at `end` every agent sends the last frame of each of its links (`uses`), and waits for those
    that come to it (`due`). `seed`: of what is due by chance.
    """

    seed: int = 0

    # --- events -----------------------------------------------------------------------------------

    def events(self, after: Moment = START) -> Iterator[Event]:
        """Everything after `after` and up to the cut at `end`, in order."""
        if after >= (last := Moment(self.end, Phase.CUT)):
            return
        for event in merge(self._own(after.exact), self._cuts(after.exact), key=lambda event: event.moment):
            if event.moment > after:
                yield event
            if event.moment == last:
                return

    def _cuts(self, time: Fraction) -> Iterator[Event]:
        """Cuts from one at or before `time` on, in order, and that of the end."""
        end, every = self.end, self.cut_every
        regular = (number * every for number in count(max(1, math.floor(time / every))))
        known = time - 1
        for cut in merge(sorted(self.cuts), regular):
            if cut >= end:
                break
            if cut > known:
                known = cut
                yield Event(Moment(cut, Phase.CUT), *self._stands(cut))
        yield Event(Moment(end, Phase.CUT), *self._stands(end), uses=self._farewell, due=self._awaited)

    def _stands(self, time: Fraction) -> tuple[int, int]:
        """The task in which it is at a time, or which ends then, and the ticks done in it."""
        row = self.ticks[self.agent]
        task = min(max(0, math.ceil(time) - 1), max(0, len(row) - 1))
        ticks = row[task] if row else 0
        return task, min(ticks, math.floor((time - task) * ticks))

    def _own(self, time: Fraction) -> Iterator[Event]:
        """Its tasks and ticks from some before `time` on."""
        row = self.ticks[self.agent]
        for task in range(max(0, math.ceil(time) - 1), len(row)):
            ticks = row[task]
            yield Event(Moment(Fraction(task), Phase.BEGIN_TASK), task, 0)
            if ticks and self.evaluate_every is not None:
                yield Event(Moment(Fraction(task), Phase.EVALUATE_START), task, 0)
            for tick in range(max(1, math.floor((time - task) * ticks)), ticks + 1):
                yield from self._tick(task, tick, ticks)
            yield Event(Moment(Fraction(task + 1), Phase.END_TASK), task, ticks)
            if ticks:
                yield Event(Moment(Fraction(task + 1), Phase.EVALUATE), task, ticks)

    def _tick(self, task: int, tick: int, ticks: int) -> Iterator[Event]:
        time, every = task + Fraction(tick, ticks), self.evaluate_every
        if self._awaited:
            yield Event(Moment(time, Phase.ARRIVE), task, tick)
        yield Event(Moment(time, Phase.LEARN), task, tick)
        if uses := self._uses(task, tick):
            yield Event(Moment(time, Phase.AFTER), task, tick, uses)
        if every is not None and (tick - 1) % every == 0 and tick != ticks:
            yield Event(Moment(time, Phase.EVALUATE), task, tick)

    # --- links ------------------------------------------------------------------------------------

    def _uses(self, task: int, tick: int) -> tuple[Use, ...]:
        """Who gets a frame after a tick: with what is due, and where answers may leave."""
        due = tuple([n for n, rule in enumerate(self.rhythms) if self._is_due(rule, task, tick)])
        if due not in self._known_uses:
            found = []
            for other, numbers in self._speaks:
                mine = tuple(n for n in due if n in numbers)
                if mine or any(self.rhythms[n].legs > 1 for n in numbers):
                    found.append(Use(other, mine))
            self._known_uses[due] = tuple(found)
        return self._known_uses[due]

    def _is_due(self, rule: Rhythm, task: int, tick: int) -> bool:
        due = bool(rule.due(task, tick, self.ticks[self.agent][task]))
        if not due or rule.chance is None:
            return due
        return bool(drawn(self.seed, self.agent, rule.chance, self._begins[task] + tick, 1)[0])

    @cached_property
    def _begins(self) -> list[int]:
        """Ticks before each task."""
        return [0, *accumulate(self.ticks[self.agent])]

    @cached_property
    def _known_uses(self) -> dict[tuple[int, ...], tuple[Use, ...]]:
        return {}

    @cached_property
    def _speaks(self) -> list[tuple[int, tuple[int, ...]]]:
        """Neighbours that get frames, and the exchanges that use the link to them."""
        links = self.topology.outgoing(self.agent).items()
        return [(other, numbers) for other, link in links if (numbers := self._numbers(link))]

    @cached_property
    def _farewell(self) -> tuple[Use, ...]:
        return tuple(Use(other, ()) for other, _ in self._speaks)

    @cached_property
    def _awaited(self) -> tuple[Due, ...]:
        """Neighbours that send frames: of each, one is the last."""
        links = self.topology.incoming(self.agent).items()
        return tuple(Due(other, 1) for other, link in links if self._numbers(link))

    def _numbers(self, link: Link) -> tuple[int, ...]:
        return tuple(n for n, rule in enumerate(self.rhythms) if link.in_class(rule.links))

    # --- for `check` and the greeting -------------------------------------------------------------

    def meetings_of(self, number: int) -> set[int]:
        """At how many ticks of this agent exchange `number` is due. Of other agents it is another number."""
        rule, row = self.rhythms[number], self.ticks[self.agent]
        if not self.topology.users(self.agent, rule.links):
            return {0}
        ends = takewhile(lambda one: one[0] < self.end, enumerate(row))
        return {
            sum(self._is_due(rule, task, tick) for task, ticks in ends for tick in self._up_to(task, ticks))
        }

    def _up_to(self, task: int, ticks: int) -> range:
        """The ticks of a task that are at or before the end."""
        return range(1, min(ticks, math.floor((self.end - task) * ticks)) + 1)

    def expected_hash(self, neighbour: int) -> str:
        """sha256 over the links between both that carry frames."""
        return sha256(json.dumps(list(self.expected(neighbour))).encode()).hexdigest()

    def expected(self, neighbour: int) -> Iterator[str]:
        """The links between both that carry frames, and the exchanges of each, one line each."""
        out = self.topology.outgoing(self.agent).get(neighbour)
        back = self.topology.incoming(self.agent).get(neighbour)
        for link in sorted([one for one in (out, back) if one is not None], key=lambda one: one.source):
            if numbers := self._numbers(link):
                yield f"free {link.name} {numbers}"
