"""A clock of your own: lockstep, in which only a part of the meetings takes place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from pydantic import Field

from mpidcl.experiment import options, units
from mpidcl.network.schedule.lockstep import Lockstep, LockstepTimetable
from mpidcl.network.schedule.timetable import START, Event, Moment


class Thinned(Lockstep):
    """Each pair of neighbours keeps a share of its meetings, drawn from the seed, and skips the others."""

    class Options(options.Options):
        """How many."""

        share: units.Share = Field(0.5, description="share of the meetings that take place")

    def timetable(self, **words: Any) -> Thin:
        """That of lockstep, thinned."""
        whole = super().timetable(**words)
        return Thin(**vars(whole), seed=self.seed, share=self.options.share)


@dataclass(frozen=True)
class Thin(LockstepTimetable):
    """The timetable of one agent. Both ends of a link draw the same, so that they keep the same meetings."""

    seed: int = 0
    share: float = 1.0

    def events(self, after: Moment = START) -> Iterator[Event]:
        """Those of lockstep, without the meetings that are skipped."""
        for event in super().events(after):
            uses = tuple(use for use in event.uses if self._kept(event.moment, use.neighbour))
            if uses or not event.uses:
                yield event._replace(uses=uses)

    def _kept(self, moment: Moment, neighbour: int) -> bool:
        ends = sorted((self.agent, neighbour))
        drawn = sha256(f"{self.seed} {ends} {moment.time} {moment.phase}".encode()).digest()
        return int.from_bytes(drawn[:8]) < self.share * 2**64

    def expected(self, neighbour: int) -> Iterator[str]:
        """The meetings with one neighbour, a line each."""
        for event in self.events():
            yield from (f"{event.moment} {use.exchanges}" for use in event.uses if use.neighbour == neighbour)

    def expected_hash(self, neighbour: int) -> str:
        """Of what determines them: the rules of lockstep, the seed and the share."""
        rules = super().expected_hash(neighbour), self.seed, self.share
        return sha256(repr(rules).encode()).hexdigest()

    def meetings_of(self, number: int) -> set[int]:
        """Counted by going through them, agent by agent: `mpidcl check` prints it."""
        return {replace(self, agent=agent)._held(number) for agent in range(len(self.ticks))}

    def _held(self, number: int) -> int:
        return sum(any(number in use.exchanges for use in event.uses) for event in self.events())
