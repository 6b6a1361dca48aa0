"""The tasks that a learner has begun, and their rows ready for the encoder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.base.shape import Shape
from mpidcl.learning.batches import Prepared
from mpidcl.learning.gradient.received import marks
from mpidcl.model.base import Model
from mpidcl.stream.tasks import as_answers

PREPARED_AT_ONCE = 4096
"""Rows per call of `prepare`. Fixed: a product of another shape may round differently."""
KEPT_BYTES = 256 * 2**20
"""Prepared test rows are kept up to this size per agent; later ones are gathered again, same bits."""


def prepare_rows(model: Model, x: npt.NDArray[np.float32], device: torch.device) -> Tensor:
    """Rows x [n, *input_shape] after the frozen input stage, on `device`."""
    parts = torch.split(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)), PREPARED_AT_ONCE)
    # Copied into memory that torch has aligned: a product may round differently at another alignment, and
    # received rows lie wherever the driver put them.
    prepared = [_prepared(model, part, device) for part in parts]
    return prepared[0] if len(prepared) == 1 else torch.cat(prepared)


def _prepared(model: Model, part: Tensor, device: torch.device) -> Tensor:
    if not model.prepares or device.type != "cpu":
        return model.prepare(part.clone().to(device))
    # Fresh memory for each copy would lie between results that are kept: malloc cannot use such holes again,
    # and 8 agents with 10 tasks held 390 MiB of them.
    aligned = _memory(PREPARED_AT_ONCE * math.prod(part.shape[1:]))[: part.numel()].view(part.shape)
    found = model.prepare(aligned.copy_(part))
    return found.clone() if found.untyped_storage().data_ptr() == aligned.data_ptr() else found


@lru_cache(maxsize=1)
def _memory(floats: int) -> Tensor:
    with torch.inference_mode(False):  # else it could not be written outside an evaluation
        return torch.empty(floats)


class SeenTasks:
    """All tasks begun so far; `current` are those in training: one, or all joint tasks so far."""

    def __init__(self, model: Model, device: torch.device, shape: Shape) -> None:
        self._model, self._device, self._joint = model, device, shape.joint_tasks
        self._shape, self._labels = shape, dict[int, npt.NDArray[np.generic]]()
        self.tasks: list[Any] = []
        self.current: tuple[int, ...] = ()
        self._training: dict[int, Prepared] = {}
        self._tests: dict[int, Prepared] = {}
        self._held_back: dict[int, tuple[Any, set[bytes]]] = {}

    def begin(self, task: Any) -> None:
        """Make `task` current, beside the other joint tasks or in place of the one before.

        Raises ValueError when tasks do not come in order.
        """
        if task.index != len(self.tasks):
            raise ValueError(
                f"Tasks should begin in order, now task {len(self.tasks)}. Found task {task.index}."
            )
        self.tasks.append(task)
        if task.index < self._joint:
            self.current = (*self.current, task.index)
        else:
            self.current = (task.index,)
        self._training = {u: rows for u, rows in self._training.items() if u in self.current}

    @contextmanager
    def as_if_begun(self, tasks: Sequence[Any]) -> Iterator[None]:
        """Inside, the next `tasks` count as begun, to be tested; which ones are in training stays."""
        begun = len(self.tasks)
        self.tasks.extend(tasks)
        try:
            yield
        finally:
            del self.tasks[begun:]

    @property
    def ended(self) -> tuple[int, ...]:
        """Tasks begun that are in training no more."""
        return tuple(u for u in range(len(self.tasks)) if u not in self.current)

    def classes(self, tasks: Iterable[int]) -> npt.NDArray[np.bool_]:
        """Which outputs of which heads the training rows of these tasks mean: bool [heads, classes]."""
        found = np.zeros((self._shape.heads, self._shape.classes_per_head), dtype=np.bool_)
        for u in tasks:
            if u not in self._labels:
                self._labels[u] = np.unique(self.tasks[u].train.y)
            found[self.tasks[u].head, self._labels[u]] = True
        return found

    @property
    def complete(self) -> bool:
        """False while joint tasks are still to come."""
        return len(self.tasks) >= self._joint

    def training(self, task: int) -> Prepared:
        """Training rows of a current task, prepared once and kept while it is current."""
        if task not in self._training:
            self._training[task] = self._prepared(task, self.tasks[task].train)
        return self._training[task]

    def test(self, task: int) -> Prepared:
        """Test rows of a task begun, prepared once and kept while there is room."""
        if task in self._tests:
            return self._tests[task]
        rows = self._prepared(task, self.tasks[task].test)
        kept = sum(part.z.nbytes for part in self._tests.values())
        if kept + rows.z.nbytes <= KEPT_BYTES:
            self._tests[task] = rows
        return rows

    def held_back(self, task: int) -> set[bytes]:
        """Marks of the rows that this agent validates on, in any of its tasks, as `task` sees them."""
        if task not in self._held_back:
            rows = self.tasks[task].never_trained()
            same = [found for known, found in self._held_back.values() if known is rows]
            parts = (
                rows.part(slice(i, i + PREPARED_AT_ONCE)).x() for i in range(0, len(rows), PREPARED_AT_ONCE)
            )
            self._held_back[task] = rows, same[0] if same else marks(parts)
        return self._held_back[task][1]

    def _prepared(self, task: int, rows: Any) -> Prepared:
        z = prepare_rows(self._model, rows.x(), self._device)
        return Prepared.of(z, as_answers(rows.y), self.tasks[task].head, self._device)
