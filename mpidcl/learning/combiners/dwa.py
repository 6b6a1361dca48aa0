"""DWA: dynamic weight average (Liu, Johns and Davison 2019, arXiv 1803.10704, equation 7)."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.rlw import softmax
from mpidcl.learning.combiners.shortest import checked_losses


@dataclass
class Window:
    """Losses of one task: means of the last two full windows (NaN: none yet), and the open one."""

    last: float = np.nan
    before: float = np.nan
    total: float = 0.0
    count: float = 0

    def ratio(self) -> float:
        """last / before; 1 where there are no two, or the loss was 0."""
        return self.last / self.before if self.before > 0 else 1.0

    def take(self, loss: float, size: int) -> None:
        """One more loss; the window closes with its `size`-th."""
        self.total, self.count = self.total + loss, self.count + 1
        if self.count >= size:
            self.before, self.last = self.last, self.total / self.count
            self.total, self.count = 0.0, 0


class DWA(Combiner):
    """w = n softmax(r / temperature), where r_i is the task's last loss over the loss before that.

    Each is a mean over `window` of the task's steps; r_i is 1 until there are two. The paper takes epochs;
    here each row comes once.
    """

    class Options(Options):
        """How smooth the weights are."""

        temperature: float = Field(2.0, gt=0, description="the larger, the more alike the weights")
        window: int = Field(
            1, ge=1, le=1_000_000, description="steps of a task over which its loss is averaged"
        )

    options: Options
    name = "dwa"

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._windows: dict[int, Window] = {}

    def weights(self, gradients: Gradients) -> Doubles:
        losses = checked_losses(gradients, "dwa")
        windows = [self._windows.setdefault(task, Window()) for task in gradients.tasks]
        ratios = np.array([window.ratio() for window in windows])
        for window, loss in zip(windows, losses.tolist(), strict=True):
            window.take(loss, self.options.window)
        return len(gradients) * softmax(ratios / self.options.temperature)

    def state(self) -> dict[str, Any]:
        numbers = np.array([astuple(window) for window in self._windows.values()], dtype=np.float64)
        return {"tasks": np.array(list(self._windows), dtype=np.int64), "windows": numbers.reshape(-1, 4)}

    def load(self, state: dict[str, Any]) -> None:
        rows = zip(state["tasks"].tolist(), state["windows"].tolist(), strict=True)
        self._windows = {task: Window(*numbers) for task, numbers in rows}
