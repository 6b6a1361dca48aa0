"""The candidate modules of the task that is learned now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mpidcl.experiment import kinds
from mpidcl.learning.compositional.modular import Floats, Origin
from mpidcl.learning.optimizers import Optimizer
from mpidcl.model.compositional.base import Compositional
from mpidcl.model.flat import writable
from mpidcl.randomness import generator_state, load_generator_state

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class Candidates:
    """Candidates in the places after the modules that are kept; one of them is visible at a time.

    `places`: their numbers among all modules; `origins`: where each one's first weights came from.
    """

    def __init__(self, model: Compositional, optimizer: Optimizer, rng: np.random.Generator) -> None:
        self.model, self.optimizer, self.rng = model, optimizer, rng
        self.places: tuple[int, ...] = ()
        self.origins: list[Origin] = []

    def __len__(self) -> int:
        return len(self.places)

    def open(self, task: int, count: int) -> None:
        """`count` candidates with random first weights, for `task`; the first one is visible."""
        self.places = tuple(range(self.model.kept, self.model.kept + count))
        self.origins = [Origin()] * count
        self.model.trial = (task,)
        self.model.active = self.places[0] if count else None
        for place in self.places:
            self.fill(place, self._random(), Origin())

    def _random(self) -> Floats:
        """First weights and biases: uniform in +-1 / sqrt(inputs), as those of the basis."""
        outputs, columns = self.model.module_shape
        bound = 1 / np.sqrt(columns - 1)
        return self.rng.uniform(-bound, bound, outputs * columns).astype(np.float32)

    def fill(self, place: int, weights: Floats, origin: Origin) -> None:
        """Begin the candidate at `place` with these weights [module floats], forgetting what it was."""
        _write(self.model.module(place), weights)
        self.origins[self.places.index(place)] = origin
        self.optimizer.reset(self._segment(place))

    def _segment(self, place: int) -> Any:
        """Modules come first in the flat parameters, one segment each."""
        return np.arange(len(self.optimizer.steps)) == place

    def next(self) -> None:
        """The next candidate's turn to be visible."""
        if self.model.active is not None:
            turn = self.places.index(self.model.active) + 1
            self.model.active = self.places[turn % len(self.places)]

    @contextmanager
    def shown(self, place: int | None) -> Iterator[None]:
        """Inside, the candidate at `place` is visible, or none."""
        before, self.model.active = self.model.active, place
        try:
            yield
        finally:
            self.model.active = before

    def hidden(self) -> Any:
        """Inside, no candidate is visible."""
        return self.shown(None)

    def close(self, best: int | None) -> int:
        """End the trial: candidate number `best` becomes a module (None: none does). Its number, or -1."""
        model, task = self.model, self.model.trial[0]
        module = -1
        if best is not None:
            module = model.kept
            self._move(self.places[best], module, task)
            model.kept += 1
            model.seen[task] = model.kept
        for place in self.places:
            if place != module:
                _write(model.module(place), np.zeros(int(np.prod(model.module_shape)), np.float32))
        self.places, self.origins, model.trial, model.active = (), [], (), None
        return module

    def _move(self, source: int, target: int, task: int) -> None:
        if source == target:
            return
        self.model.module(target).copy_(self.model.module(source))
        self.optimizer.move(source, target)
        with torch.no_grad():
            self.model.structures[task, target] = self.model.structures[task, source]

    def state(self) -> dict[str, Any]:
        """Places, origins and the generator."""
        return {
            "places": np.array(self.places, dtype=np.int64),
            "origins": {str(number): origin.as_dict() for number, origin in enumerate(self.origins)},
            "generator": generator_state(self.rng),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.places = tuple(np.asarray(state["places"], dtype=np.int64).tolist())
        saved = state["origins"]
        self.origins = [Origin.from_dict(saved[str(number)]) for number in range(len(self.places))]
        load_generator_state(self.rng, state["generator"])


def _write(block: Tensor, weights: Floats) -> None:
    block.copy_(writable(weights).view(block.shape))


def gains_enough(accuracy: float, without: float, rows: int, threshold: float) -> bool:
    """Whether accuracy on `rows` rows gains more than `threshold` of itself.

    Counted in whole rows and exactly: in floats 0.63 - 0.6 is more than 0.05 * 0.6.
    """
    before = round(without * rows)
    return round(accuracy * rows) - before > Fraction(str(threshold)) * before


def room_for(experiment: Experiment, later: int) -> int:
    """Modules beside the basis when `later` tasks follow the initial ones: one each, and those on trial."""
    candidates: int = experiment.learning.options.candidates
    return max(0, max(0, later) + max(candidates, tried_at_once(experiment)) - 1)


def tried_at_once(experiment: Experiment) -> int:
    """The most modules that an exchange tries out together."""
    most = 1
    for table in experiment.exchange:
        most = max(most, int(kinds.resolve("exchange", table.kind).modules_on_trial(table.options)))
    return most
