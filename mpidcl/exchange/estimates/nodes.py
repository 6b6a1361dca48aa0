"""Models of nodes: to the neighbours in a group, which are drawn to them, and to who speaks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mpidcl.base.state import State
from mpidcl.exchange.base import Neighbourhood, Received
from mpidcl.exchange.estimates.estimate import Estimate, SharesEstimates
from mpidcl.experiment.options import Options
from mpidcl.experiment.options import Options as BaseOptions
from mpidcl.experiment.part import Use
from mpidcl.learning.linear.relation import Doubles
from mpidcl.network.frames.message import Message
from mpidcl.network.schedule.groups import groups_of


class NodesOptions(Options):
    """Options of `kind = "nodes"`."""

    how: Literal["pull", "average"] = Field(
        default="pull",
        description="pull: each sample draws a model to those of its group; average: whenever models come, it"
        " becomes the mean of itself and the newest of all its neighbours, of whatever group",
    )


class NodesExchange(Estimate):
    """w_i and the running mean of its squared residuals. The newest copy of a silent neighbour stands."""

    Options: ClassVar[type[Options]] = NodesOptions
    options: NodesOptions

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Models that draw nobody, since they go to other groups."""
        if use.options.how == "average":
            return
        table = use.mine.exchange[int(use.key[-1])]
        sizes = map(len, groups_of(use.whole.network, use.whole.agents).members)
        if max(sizes) == 1 or (use.mine.network.topology == "groups" and table.links == "between"):
            yield (
                f'note: exchange `nodes` with links = "{table.links}" draws no model: how = "pull" is for'
                ' agents of one group. Use how = "average", or [network.groups].'
            )

    @classmethod
    def by_newest(cls, options: BaseOptions) -> bool:
        """An average changes the model when it comes."""
        return isinstance(options, NodesOptions) and options.how == "pull"

    def __init__(self, options: NodesOptions, learner: SharesEstimates, neighbourhood: Neighbourhood) -> None:
        super().__init__(options, learner, neighbourhood)
        self._newest: dict[int, Doubles] = {}
        if options.how == "pull":
            learner.be_drawn()

    def example(self) -> Message:
        return Message("nodes", {"variance": 0.0}, {"model": self.learner.w}, floats=len(self.learner.w))

    def _say(self) -> Message:
        learner = self.learner
        return Message("nodes", {"variance": learner.variance}, {"model": learner.w}, floats=len(learner.w))

    def to_row(self, message: Message) -> Doubles:
        """variance, model."""
        return np.concatenate([[message.scalars["variance"]], message.arrays["model"]])

    def from_row(self, row: Doubles) -> Message:
        """The message."""
        size = len(self.learner.w)
        return Message("nodes", {"variance": float(row[0])}, {"model": row[1 : 1 + size].copy()})

    def settle(self, received: list[Received]) -> None:
        """Keep the newest model of each neighbour; or let the own one be the mean of all."""
        learner = self.learner
        for one in received:
            model = self.checked(one.source, one.message.arrays.get("model"), learner.w.shape)
            if self.options.how == "average":
                self._newest[one.source] = model.copy()
            elif learner.groups.of[one.source] == learner.group:
                learner.hear(one.source, model, float(one.message.scalars["variance"]))
        if received and self._newest:
            held = [model for _, model in sorted(self._newest.items())]
            learner.w[...] = np.mean([learner.w, *held], axis=0)

    def state(self) -> State:
        """Copies that are averaged."""
        return {str(source): model for source, model in sorted(self._newest.items())}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._newest = {int(source): np.array(model) for source, model in state.items()}
