"""Which classes count while parallel tasks are learned and tested; and the tests themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mpidcl.learning.model_learner import ModelLearner
from mpidcl.learning.parallel.masks import Mask, hits, mask_of
from mpidcl.learning.seen import prepare_rows


class ParallelTests:
    """Masks of every step, and accuracies under two masks: that of the mode, and that of all classes."""

    def __init__(self, learner: ModelLearner, stream: Any) -> None:
        self._learner, self._stream = learner, stream
        classes = learner.shape.classes_per_head
        self._by_task = stream.options.incremental == "task"
        self._own = [mask_of(stream.classes[t], classes) for t in range(stream.tasks)]
        self._every: Mask = np.logical_or.reduce(self._own)
        self._rows_of_class = np.zeros((classes, classes), dtype=np.bool_)
        for mask in self._own:
            self._rows_of_class[mask] = mask

    def mask(self, task: int, step: int) -> Mask:
        """Classes [classes] that a row of `task` may mean at `step`."""
        return self._own[task] if self._by_task else self._started(step)

    def memory_mask(self, step: int) -> Mask:
        """For the memory: `[classes, classes]`, a mask for each label."""
        if self._by_task:
            return self._rows_of_class
        return np.broadcast_to(self._started(step), self._rows_of_class.shape)

    def _started(self, step: int) -> Mask:
        started: Mask = np.logical_or.reduce(self._own[: self._stream.timeline.started(step)])
        return started

    def accuracies(self, segment: Any, tasks: Sequence[int]) -> npt.NDArray[np.float64]:
        """[all tasks, 2]: fractions right of the test rows of `tasks` after a segment, else NaN."""
        found = np.full((self._stream.tasks, 2), np.nan)
        self._learner.model.eval()
        with torch.inference_mode():
            for task in tasks:
                found[task] = self._accuracy(task, segment.stop - 1)
        return found

    def _accuracy(self, task: int, step: int) -> tuple[float, float]:
        learner, rows = self._learner, self._stream.parallel_task(task).test
        masks = [torch.from_numpy(m.copy()).to(learner.device) for m in (self.mask(task, step), self._every)]
        right = [0, 0]
        at_once = learner.model.rows_at_once
        for first in range(0, len(rows), at_once):
            part = rows.part(slice(first, first + at_once))
            with learner.counted(("test", len(part))):
                z = prepare_rows(learner.model, part.x(), learner.device)
                logits = learner.model.heads.one(learner.model.encode_rows(z, 0), 0)
            y = torch.from_numpy(part.y).to(learner.device)
            for number, mask in enumerate(masks):
                right[number] += hits(logits, y, mask)
        return right[0] / max(1, len(rows)), right[1] / max(1, len(rows))
