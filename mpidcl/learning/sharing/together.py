"""How gradients are compared and combined: inside one agent, or with all agents that train the same model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mpidcl.network.requests import Combine, Compare, Compared, Gather, Mix, Row
from mpidcl.network.together.cost import combine_bytes, compare_bytes
from mpidcl_kernels.gram import BLOCK, combine_rows, gram_matrix

Floats = npt.NDArray[np.float32]
Rule = npt.NDArray[np.float64] | Mix


class Gradient(Protocol):
    """A gradient of this agent, as in `mpidcl.network.requests.Row`."""

    @property
    def place(self) -> int:
        """Among all gradients of the step."""
        ...

    @property
    def vector(self) -> Floats:
        """The gradient [p]."""
        ...

    @property
    def facts(self) -> Floats:
        """What all agents should know of it [f]."""
        ...


class Alone:
    """All gradients are here: nobody is asked. The same arithmetic as the drivers', so the same bits."""

    def __init__(self) -> None:
        self._vectors: list[Floats] = []
        self.sent_bytes = 0

    def compare(self, step: int, owners: tuple[int, ...], own: Sequence[Gradient], facts: int) -> Any:
        """Gram matrix and facts of the step's gradients (a generator that asks nothing)."""
        self._vectors = [row.vector for row in own]
        return Compared(np.asarray(gram_matrix(self._vectors)), np.stack([row.facts for row in own]))
        yield

    def combine(self, step: int, rule: Rule, out: Floats) -> Any:
        """Write the direction to `out [p]`."""
        if callable(rule):
            for start in range(0, len(out), BLOCK):
                span = slice(start, start + BLOCK)
                out[span] = rule([vector[span] for vector in self._vectors], start)
            return
        used = np.flatnonzero(rule)
        if len(used):
            combine_rows([self._vectors[place] for place in used], rule[used], out=out)
        else:
            out[:] = 0
        return
        yield

    def gather(self, when: str, array: npt.NDArray[Any] | None, to: int | None) -> Any:
        """Everybody's array: one's own."""
        return [array]
        yield

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing."""


class Together(Alone):
    """The gradients, of `floats` each, lie on several agents: the driver is asked.

    `sent_bytes` counts what this agent sends for it when every agent has a rank of its own: the same
    number whatever ranks there are.
    """

    def __init__(self, agent: int, agents: int, floats: int) -> None:
        super().__init__()
        self._agent, self._others = agent, agents - 1
        self._place = (floats, agents, agent)
        self._rows = self._gathers = 0

    def compare(self, step: int, owners: tuple[int, ...], own: Sequence[Gradient], facts: int) -> Any:
        return (yield from self._bring(step, owners, own, facts, gram=True))

    def tell(self, step: int, owners: tuple[int, ...], own: Sequence[Gradient], facts: int) -> Any:
        """The facts of the step's gradients, of which nobody wants to know how alike they are."""
        return (yield from self._bring(step, owners, own, facts, gram=False)).facts

    def _bring(
        self, step: int, owners: tuple[int, ...], own: Sequence[Gradient], facts: int, gram: bool
    ) -> Any:
        rows = tuple(Row(row.place, row.vector, row.facts) for row in own)
        self._rows = len(owners)
        self.sent_bytes += compare_bytes(*self._place, self._rows, len(own), facts, gram=gram)
        return (yield Compare(f"step {step}", step, owners, rows, gram))

    def combine(self, step: int, rule: Rule, out: Floats) -> Any:
        self.sent_bytes += combine_bytes(*self._place, self._rows)
        yield Combine(f"step {step}", step, rule, out)

    def gather(self, when: str, array: npt.NDArray[Any] | None, to: int | None) -> Any:
        self._gathers += 1
        if array is not None:
            self.sent_bytes += array.nbytes * (self._others if to is None else int(to != self._agent))
        return (yield Gather(when, self._gathers - 1, array, to))

    def state(self) -> dict[str, Any]:
        return {"gathers": self._gathers, "sent_bytes": self.sent_bytes}

    def load(self, state: dict[str, Any]) -> None:
        self._gathers, self.sent_bytes = int(state["gathers"]), int(state["sent_bytes"])
