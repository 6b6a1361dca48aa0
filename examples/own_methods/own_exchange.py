"""An exchange of your own: move a little towards the mean of the neighbours' models.

    theta_i <- theta_i + strength * (mean_j theta_j - theta_i)

A neighbour that says nothing does not count in the mean; when nobody speaks nothing moves.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpidcl.base.state import Facts
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Received
from mpidcl.exchange.facts import compare_tensors, tensor_facts
from mpidcl.experiment.options import Options
from mpidcl.learning.model_learner import ModelLearner
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Message


class Pull(Exchange):
    """Elastic pull towards the neighbours' shared parameters."""

    class Options(Options):
        """How hard to pull."""

        strength: float = Field(0.5, ge=0, le=1, description="0: stay, 1: become the mean of the neighbours")

    options: Options
    learner: ModelLearner

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        size = message_bytes(self._message())
        return ByteRange(size, size)

    def ask(self, link: LinkUse) -> Message | None:
        message = self._message()
        return message if message_bytes(message) <= link.room else None

    def settle(self, received: list[Received]) -> None:
        if received:
            mine = self.learner.host_view("shared")
            mean = np.mean([item.message.arrays["model"] for item in received], axis=0, dtype=np.float32)
            self.learner.load_span("shared", mine + np.float32(self.options.strength) * (mean - mine))

    def _message(self) -> Message:
        model = self.learner.host_view("shared")
        return Message("pull", arrays={"model": model}, floats=model.size)

    # Neighbours compare these at the start, so that different models are refused with a clear message.

    def start_facts(self) -> Facts:
        return tensor_facts(self.neighbourhood.agent, self.learner)

    def compare_facts(self, mine: Facts, theirs: Facts) -> str | None:
        return compare_tensors(mine, theirs)
