"""How the set of experts changes with the tasks: they come, are frozen, and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mpidcl.base.state import State
from mpidcl.learning.experts.log import CAME, FROZEN, WENT, ExpertChange
from mpidcl.learning.experts.specialisation import Specialisation
from mpidcl.model.build import build_model
from mpidcl.model.experts.base import Experts

if TYPE_CHECKING:
    from mpidcl.learning.experts.learner import ExpertsLearner


class Changes:
    """Decides about the experts of a learner, by their load and specialisation.

    `retired`: the weights [floats of the expert] of those that went, by (task, expert).
    """

    def __init__(self, learner: ExpertsLearner) -> None:
        self._learner = learner
        count = learner.model.options.experts
        self._idle = np.zeros(count, dtype=np.int64)  # tasks for which each has had little load
        self._load = np.zeros(count)
        self.retired: dict[tuple[int, int], Tensor] = {}
        if learner.options.first is not None:
            learner.model.change(used=np.arange(count) < learner.options.first)

    def begin_task(self, task: int) -> None:
        """Let experts come into use, in free slots."""
        learner, model = self._learner, self._learner.model
        free = np.flatnonzero(~model.used).tolist()
        for expert in free[: learner.options.grow] if task else ():
            other = self._first_weights(task, expert)
            used = model.used.copy()
            used[expert] = True
            model.change(used=used)
            learner.log.changes.append(ExpertChange(task, expert, CAME, other))

    def _first_weights(self, task: int, expert: int) -> int:
        """Give an expert its first weights; whose they are, -1: new ones."""
        learner, model = self._learner, self._learner.model
        data, span = learner.parameters.data, model.module_spans[expert]
        loaded = [i for i in self._like(expert) if self._load[i] > 0]
        other = -1
        if any(gone == expert for _, gone in self.retired):
            self._renew(task, expert)
        if learner.options.inherit == "similar" and loaded:
            other = max(loaded, key=lambda i: (self._load[i], -i))
            data[span] = data[model.module_spans[other]]
        learner.replaced(span)
        return other

    def _renew(self, task: int, expert: int) -> None:
        """New random weights, also in the router, which has learned to avoid the expert that was there."""
        learner, model = self._learner, self._learner.model
        purpose, span = f"expert {expert}, task {task}", model.module_spans[expert]
        fresh = build_model(learner.experiment, learner.agent, learner.shape, learner.device, purpose=purpose)
        assert isinstance(fresh, Experts)
        learner.parameters.data[span] = fresh.flat.data[span]
        model.router.weight.data[expert] = fresh.router.weight.data[expert]
        model.router.bias.data[expert] = fresh.router.bias.data[expert]
        for segment in model.flat.segments:
            if segment.name in ("router.weight", "router.bias"):
                line = (segment.stop - segment.start) // len(model.used)
                first = segment.start + expert * line
                learner.replaced(slice(first, first + line))
        starts = learner.optimizer.starts
        learner.optimizer.reset((starts >= span.start) & (starts < span.stop))

    def _like(self, expert: int) -> list[int]:
        """Other experts in use, with the same shape."""
        model = self._learner.model
        size = _size(model.module_spans[expert])
        used = np.flatnonzero(model.used).tolist()
        return [i for i in used if i != expert and _size(model.module_spans[i]) == size]

    def end_task(self, task: int, found: Specialisation) -> None:
        """Freeze those that are specialised, let those go that have been idle for long."""
        learner, model = self._learner, self._learner.model
        self._load = found.load.copy()
        options = learner.options
        if options.freeze_above is not None:
            fixed = model.used & ~model.frozen & (model.specialisation > options.freeze_above)
            model.change(frozen=model.frozen | fixed)
            learner.log.changes += [ExpertChange(task, i, FROZEN, -1) for i in np.flatnonzero(fixed).tolist()]
        if options.retire_below is not None:
            self._retire(task, options.retire_below)

    def _retire(self, task: int, share: float) -> None:
        learner, model = self._learner, self._learner.model
        little = model.used & (self._load < share / model.used.sum())
        self._idle = np.where(little, self._idle + 1, 0)
        for expert in np.flatnonzero(self._idle >= learner.options.retire_after).tolist():
            if int(model.used.sum()) <= model.options.active:
                return
            span = model.module_spans[expert]
            self.retired[task, expert] = learner.parameters.data[span].clone()
            other = self._hand_over(expert)
            used, frozen = model.used.copy(), model.frozen.copy()
            used[expert] = frozen[expert] = False
            model.change(used=used, frozen=frozen)
            self._idle[expert] = 0
            learner.log.changes.append(ExpertChange(task, expert, WENT, other))

    def _hand_over(self, expert: int) -> int:
        """Put its largest parameters into the most similar expert of its shape; which one that is."""
        learner, model = self._learner, self._learner.model
        data, spans = learner.parameters.data, model.module_spans
        like = [i for i in self._like(expert) if not model.frozen[i]]
        count = int(learner.options.keep * _size(spans[expert]))
        if not like or not count:
            return -1
        own = data[spans[expert]]
        other = max(like, key=lambda i: float(torch.cosine_similarity(own, data[spans[i]], 0)))
        kept = own.abs().topk(count).indices
        data[spans[other]][kept] = own[kept]
        learner.replaced(kept + spans[other].start)
        return other

    def state(self) -> State:
        """Everything that a resumed run needs."""
        return {
            "idle": self._idle.copy(),
            "load": self._load.copy(),
            "retired": {
                f"{task} {expert}": weights.cpu().numpy().copy()
                for (task, expert), weights in self.retired.items()
            },
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._idle = np.array(state["idle"], dtype=np.int64)
        self._load = np.array(state["load"], dtype=np.float64)
        self.retired = {}
        for name, weights in state["retired"].items():
            task, expert = map(int, name.split())
            self.retired[task, expert] = torch.tensor(weights, device=self._learner.device)


def _size(span: slice) -> int:
    return int(span.stop - span.start)
