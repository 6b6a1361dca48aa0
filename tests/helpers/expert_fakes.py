"""Small learners whose models are made of experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from learning_fakes import experiment, shape
from term_fakes import CLASSES

from mpidcl.learning.experts.learner import ExpertsLearner
from mpidcl.stream.tasks import Task

SMALL = {"encoder": [7], "experts": 4, "active": 2, "hidden": 5, "width": 6}
IMAGES = {"encoder": [3], "experts": 4, "active": 2, "hidden": 4, "width": 6}
ONE_HEAD = shape(heads=1, classes=6)
TASKS = CLASSES
"""Two new classes each, of one head."""


def experts(
    agent: int = 0, where: Any = ONE_HEAD, how: dict[str, Any] | None = None, **settings: Any
) -> ExpertsLearner:
    """A learner of experts; `how` are its own options, `options` those of its model beside the small ones."""
    kind = settings.pop("kind", "experts-mlp")
    own = (SMALL if kind == "experts-mlp" else IMAGES) | settings.pop("options", {})
    defaults = {"terms": (), "optimizer": "sgd", "lr": 0.1}
    whole: Any = experiment(kind=kind, options=own, **(defaults | settings))
    whole.learning.options = ExpertsLearner.Options(**(how or {}))
    return ExpertsLearner(whole, agent, where)


def without_validation(task: Task) -> Task:
    """The same task, whose validation rows are none."""
    rows: Any = task.validation
    return replace(task, validation=rows.part(slice(0, 0)))


def weights(who: ExpertsLearner) -> list[torch.Tensor]:
    """Copies of the weights of each expert."""
    return [who.parameters.data[span].clone() for span in who.model.module_spans]


def moved(who: ExpertsLearner, before: list[torch.Tensor]) -> list[int]:
    """The experts whose weights are no longer the same bits."""
    return [i for i, one in enumerate(weights(who)) if not torch.equal(one, before[i])]
