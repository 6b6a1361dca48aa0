"""Editing the rows of the memory that a step has used, before the parameters move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from mpidcl.base.state import State, state_of
from mpidcl.experiment import kinds
from mpidcl.learning.editing.base import EditMoment, Editor
from mpidcl.learning.editing.pattern import Pattern
from mpidcl.learning.model_learner import Floats, ModelLearner
from mpidcl.learning.parallel.gradients import GradientRows, OwnGradient
from mpidcl.memory.quota import QuotaMemory
from mpidcl.model.build import repeatable
from mpidcl.randomness import numpy_generator


class Editing:
    """Gives the editor its moment and writes what it returns back to the memory."""

    def __init__(self, learner: ModelLearner, rows: GradientRows, draws_as: int) -> None:
        table = learner.experiment.learning.options.editing
        self._learner, self._rows, self._draws_as = learner, rows, draws_as
        self.editor: Editor = kinds.resolve("editor", table.kind)(table.options)
        self.new_gradient: Floats = np.zeros(
            len(learner.parameters.grad) if self.editor.needs_new_gradient else 0, dtype=np.float32
        )
        self.moves = Moves()
        self._whole: Floats | None = None

    def whole_gradient(self) -> Floats:
        """Host memory [p] for the memory's gradient when this agent has but a part of it."""
        if self._whole is None:
            self._whole = np.zeros(len(self._learner.parameters.grad), dtype=np.float32)
        return self._whole

    @property
    def needs_new_gradient(self) -> bool:
        """Whether the mean gradient of the active tasks has to be made."""
        return self.editor.needs_new_gradient

    def pattern(self) -> Pattern | None:
        """A new one for the pass of the memory's gradient, if the editor has a use for it."""
        return Pattern() if self.editor.uses_pattern else None

    def edit(
        self, step: int, own: OwnGradient, direction: Floats, total: float, memory: QuotaMemory
    ) -> npt.NDArray[np.float32]:
        """Edit the rows of the memory's gradient `own`; how far each row moved [m], l2 of its pixels.

        Where `own` is a part of it, the whole one lies in `whole_gradient`. direction [p] is the weighted sum
        of all gradients, total the sum of the weights.
        """
        self._rows.statistics.begin()
        self._learner.model.train()
        with repeatable(self._learner.device), self._learner.counted(("edit", len(own.batch))):
            edited, moved = self.editor.edit(self._moment(step, own, direction, total, memory))
        self._rows.statistics.end()
        x, far = edited.detach().cpu().numpy(), moved.cpu().numpy()
        good = np.isfinite(far)
        assert own.batch.index is not None and own.batch.generation is not None
        memory.write(own.batch.index[good], own.batch.generation[good], x[good])
        found: npt.NDArray[np.float32] = far[good]
        return found

    def _moment(
        self, step: int, own: OwnGradient, direction: Floats, total: float, memory: QuotaMemory
    ) -> EditMoment:
        rows, device = self._rows, self._learner.device
        # Nothing but the moment keeps it, so its memory is free after the edit.
        pattern, own.pattern = own.pattern, None
        assert own.batch.index is not None
        gradient, alone = rows.on_device(own.vector), own.batch.share == 1
        whole = self.editor.needs_memory_gradient and not alone
        seed, agent = self._learner.seed, self._learner.agent
        return EditMoment(
            x=torch.from_numpy(own.batch.x).to(device),
            loss=rows.loss_of(own, step),
            flat=self._learner.parameters,
            memory_gradient=rows.on_device(self.whole_gradient()) if whole else gradient,
            part=None if alone else gradient,
            direction=rows.on_device(direction) / total,
            new_gradient=rows.on_device(self.new_gradient) if self.needs_new_gradient else None,
            age=memory.age(own.batch.index),
            rng=numpy_generator(seed, self._draws_as, f"edit {step}"),
            rng_of_rows=None if alone else numpy_generator(seed, agent, f"edit {step}"),
            pattern=pattern,
        )

    def state(self) -> State:
        """What the editor remembers, and what was not told yet."""
        return {"editor": state_of(self.editor), "moves": self.moves.state()}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self.editor.load(state["editor"])
        self.moves.load(state["moves"])


class Moves:
    """How far rows moved in the steps since the last `take`, where several agents edit rows."""

    def __init__(self) -> None:
        self._steps: list[tuple[float, float, float, float]] = []

    def add(self, step: int, moved: npt.NDArray[np.float32]) -> None:
        """The rows of a step moved so far, [m]."""
        if len(moved):
            self._steps.append((step, moved.sum(dtype=np.float64), len(moved), moved.max()))

    def take(self) -> npt.NDArray[np.float64]:
        """Step, sum, number and largest of each, [steps, 4]; they are forgotten here."""
        found = np.array(self._steps, dtype=np.float64).reshape(-1, 4)
        self._steps = []
        return found

    def state(self) -> State:
        """What `take` would give, if there is anything."""
        return {"steps": np.array(self._steps, dtype=np.float64)} if self._steps else {}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._steps = [tuple(row) for row in state.get("steps", np.zeros((0, 4)))]


def merged(moves: Sequence[npt.NDArray[np.float64]]) -> Iterator[tuple[int, float, float]]:
    """Step, mean and largest over the rows of all agents, from what `Moves.take` gave on each."""
    if not moves:
        return
    every = np.concatenate(list(moves))
    for step in np.unique(every[:, 0]):
        _, total, rows, largest = every[every[:, 0] == step].T
        yield int(step), float(total.sum() / rows.sum()), float(largest.max())
