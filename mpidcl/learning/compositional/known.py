"""Scores that need not be measured again: nothing that answers for their task has changed."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import numpy as np

from mpidcl.base.state import State
from mpidcl.model.compositional.base import Compositional


def mark_of(model: Compositional, u: int) -> bytes:
    """Checksum of all parameters that answer for task u."""
    mark = sha256(model.logits_of(u).numpy().tobytes() if u not in model.trial else b"")
    used = model.used(u)
    mark.update(used.tobytes())
    for number in used.tolist():
        mark.update(model.module(number).cpu().numpy().tobytes())
    for block in (model.heads.block, model.structures):
        mark.update(block.detach()[u].cpu().numpy().tobytes())
    return mark.digest()


Values = tuple[float, ...]


class KnownScores:
    """All measures of each task, found last, with a checksum of the parameters that gave them."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[bytes, Values]] = {}

    def get(self, task: int, mark: bytes, measure: Callable[[], Values]) -> Values:
        """The scores of `task`; `measure` is asked when `mark` is not the checksum of last time."""
        if task not in self._found or self._found[task][0] != mark:
            self._found[task] = mark, measure()
        return self._found[task][1]

    def clear(self) -> None:
        """Forget everything."""
        self._found.clear()

    def state(self) -> State:
        """Tasks, checksums and scores as columns."""
        found = sorted(self._found.items())
        return {
            "task": np.array([task for task, _ in found], dtype=np.int64),
            "mark": [mark.hex() for _, (mark, _) in found],
            "scores": np.array([scores for _, (_, scores) in found], dtype=np.float64),
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        marks = [bytes.fromhex(mark) for mark in state["mark"]]
        tasks, scores = np.asarray(state["task"]).tolist(), np.asarray(state["scores"]).tolist()
        self._found = {u: (mark, tuple(one)) for u, mark, one in zip(tasks, marks, scores, strict=True)}
