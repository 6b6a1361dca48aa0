"""Whose gradients make a step: the agent's own, or those of all agents that train one model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from mpidcl.base.state import State
from mpidcl.learning.sharing.statistics import Statistics
from mpidcl.learning.sharing.together import Together
from mpidcl.model.flat import FlatParameters, aligned
from mpidcl.network.requests import Asking, Row

Mask = npt.NDArray[np.bool_]


class OwnModel:
    """Every agent has a model of its own: its gradient is that of the step, and nobody is asked."""

    sent_bytes = 0

    def begin_pass(self, batches: int) -> Asking[int]:
        """A pass over so many batches begins: how many steps of others come after one's own."""
        return 0
        yield

    def begin_step(self) -> None:
        """A gradient will be made, in the flat gradient."""

    def batch_has_passed(self) -> None:
        """The batch has gone through the model; what follows in the step are passes of terms."""

    def mean(self, rows: int, present: Mask) -> Asking[Mask]:
        """Put the mean over all rows of all agents into the flat gradient; which heads took part [heads].

        `rows`: of this agent in the step, 0 for none; `present`: the heads that its loss used.
        """
        return present
        yield

    def state(self) -> State:
        """Nothing."""
        return {}

    def load(self, state: State) -> None:
        """Nothing."""


class OneModel(OwnModel):
    """All agents train one model. Each brings the gradient of the mean loss of its own rows.

    The step is along their mean, weighted with rows: that of one agent with the joined batch. Statistics of
    BatchNorm are moved by what every agent's batch contributes, in order of agent; passes of terms leave them
    alone. All agents then hold the same bits.
    """

    def __init__(self, flat: FlatParameters, heads: int, agent: int, agents: int) -> None:
        self._flat, self._heads, self._agent = flat, heads, agent
        self._together = Together(agent, agents, len(flat.grad))
        self._statistics = Statistics(flat)
        self._contribution = torch.empty(0)
        host = torch.device("cpu")
        self._vector, self._direction = (aligned(len(flat.grad), host) for _ in range(2))
        self._facts = 1 + heads + len(self._statistics)
        self._steps = self._turn = 0
        self._batches = np.zeros(agents, dtype=np.int64)

    @property
    def sent_bytes(self) -> int:  # type: ignore[override]
        """What this agent has sent for it, when every agent has a rank of its own."""
        return self._together.sent_bytes

    def begin_pass(self, batches: int) -> Asking[int]:
        own = np.array([batches], dtype=np.int64)
        told = yield from self._together.gather(f"a pass after step {self._steps}", own, None)
        self._batches, self._turn = np.concatenate(told), 0
        return int(self._batches.max()) - batches

    def begin_step(self) -> None:
        self._statistics.begin()

    def batch_has_passed(self) -> None:
        self._contribution = self._statistics.contribution()

    def mean(self, rows: int, present: Mask) -> Asking[Mask]:
        owners = tuple(np.flatnonzero(self._batches > self._turn).tolist())
        step, heads = self._steps, slice(1, 1 + self._heads)
        self._steps, self._turn = step + 1, self._turn + 1
        own = [self._row(owners.index(self._agent), rows, present)] if rows else []
        facts = yield from self._together.tell(step, owners, own, self._facts)
        counts = facts[:, 0].astype(np.float64)
        yield from self._together.combine(step, counts / counts.sum(), self._direction.numpy())
        self._flat.grad.copy_(self._direction)
        self._statistics.apply(facts[:, heads.stop :])
        used: Mask = (facts[:, heads] > 0).any(0)
        return used

    def _row(self, place: int, rows: int, present: Mask) -> Row:
        self._vector.copy_(self._flat.grad)
        self._statistics.put_back()
        facts = np.concatenate([[rows], present, self._contribution.cpu().numpy()]).astype(np.float32)
        return Row(place, self._vector.numpy(), facts)

    def state(self) -> State:
        return {"steps": self._steps, "together": self._together.state()}

    def load(self, state: State) -> None:
        self._steps = int(state["steps"])
        self._together.load(state["together"])
