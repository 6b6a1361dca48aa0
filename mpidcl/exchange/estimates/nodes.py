"""Models of nodes: to the neighbours in a group, which are drawn to them, and to who speaks for it."""

from __future__ import annotations

from mpidcl.exchange.base import Received
from mpidcl.exchange.estimates.estimate import Estimate
from mpidcl.network.frames.message import Message


class NodesExchange(Estimate):
    """w_i and the running mean of its squared residuals. The newest copy of a silent neighbour stands."""

    def _example(self) -> Message:
        return Message("nodes", {"variance": 0.0}, {"model": self.learner.w})

    def _say(self) -> Message:
        learner = self.learner
        return Message("nodes", {"variance": learner.variance}, {"model": learner.w}, floats=len(learner.w))

    def settle(self, received: list[Received]) -> None:
        """Keep the newest model of each neighbour of the same group."""
        learner = self.learner
        for one in received:
            source, message = one.source, one.message
            if learner.groups.of[source] == learner.group:
                model = self.checked(source, message.arrays.get("model"), learner.w.shape)
                learner.hear(source, model, float(message.scalars["variance"]))
