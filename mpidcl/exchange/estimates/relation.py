"""How groups are related: an outer step of Theta at a messenger, and what its group is to follow."""

from __future__ import annotations

from typing import ClassVar

from mpidcl.exchange.base import Neighbourhood, Received
from mpidcl.exchange.estimates.estimate import Estimate, SharesEstimates
from mpidcl.experiment.options import Options
from mpidcl.learning.linear.relation import Relation, RelationOptions
from mpidcl.network.frames.message import Message


class RelationExchange(Estimate):
    """Own weight and pull [d] of a group: all that its members need of Theta's row and of the means.

    Deputies take outer steps, too, on what they hear, and say nothing until they have to. Of several
    messengers the newest word counts.
    """

    Options: ClassVar[type[Options]] = RelationOptions
    kernels: ClassVar[tuple[str, ...]] = ("precision",)
    options: RelationOptions

    def __init__(
        self, options: RelationOptions, learner: SharesEstimates, neighbourhood: Neighbourhood
    ) -> None:
        super().__init__(options, learner, neighbourhood)
        if learner.speaker is not None:
            learner.relation = Relation(options, len(learner.groups))

    def _example(self) -> Message:
        return Message("relation", {"own": 0.0, "time": 0.0}, {"pull": self.learner.w})

    def _say(self) -> Message | None:
        found = self.learner.relate(self.now)
        if found is None or not self.speaks():
            return None
        own, pull = found
        self.learner.follow(self.now, own, pull)
        return Message("relation", {"own": own, "time": self.now}, {"pull": pull}, floats=len(pull) + 1)

    def settle(self, received: list[Received]) -> None:
        """Follow the newest word of who speaks for the group."""
        learner = self.learner
        for one in received:
            source, message = one.source, one.message
            if learner.groups.of[source] == learner.group:
                pull = self.checked(source, message.arrays.get("pull"), learner.w.shape)
                learner.follow(float(message.scalars["time"]), float(message.scalars["own"]), pull)
