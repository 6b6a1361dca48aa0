"""Learners with one term that this test makes, and what every term that keeps something is held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from learning_fakes import FakeRows, learner, live, task

from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.base import Term, make_term
from mpidcl.stream.tasks import Task
from mpidcl.testing.asking import result_of

SMALL = {"hidden": [7, 6], "dropout": 0.0}
TASKS = [task(index) for index in range(3)]
ONE_HEAD = [task(index, classes=2, head=0) for index in range(3)]


def _later(rows: FakeRows, first: int) -> FakeRows:
    return replace(rows, y=rows.y + first)


def class_task(index: int) -> Task:
    """A task of two new classes of the one head."""
    found = task(index, head=0)
    parts: Any = {name: _later(getattr(found, name), 2 * index) for name in ("train", "validation", "test")}
    return replace(found, **parts)


CLASSES = [class_task(index) for index in range(3)]


def with_term(kind: type[Term], options: dict[str, Any] | None = None, /, **settings: Any) -> GradientLearner:
    """A learner whose only term is of this kind."""
    who = learner(terms=(), **{"options": SMALL, "optimizer": "sgd", "lr": 0.1, "epochs": 2, **settings})
    who.add_term(make_term(kind, kind.Options(**(options or {})), who))  # type: ignore[arg-type]
    return who


def step(who: GradientLearner) -> None:
    """One step on the first batch of an epoch."""
    who.model.train()
    result_of(who.steps.step(next(iter(who.epochs.batches()))))


def check_resumed(make: Callable[[], GradientLearner], tasks: Any = TASKS) -> None:
    """What is saved in the middle of task 1 goes on, in a fresh learner, with the same bits to the end."""
    who, again = make(), make()
    live(who, tasks[:1], ticks=2)
    who.begin_task(tasks[1])
    list(who.learn(1, 0))
    again.load(who.state(), tasks.__getitem__)
    for one in (who, again):
        list(one.learn(1, 1))
        result_of(one.end_task())
        live(one, tasks[2:], ticks=2)
    assert who.digest() == again.digest()
    plain = learner(terms=(), options=SMALL, optimizer="sgd", lr=0.1, epochs=2, where=who.shape)
    live(plain, tasks, ticks=2)
    assert plain.digest() != who.digest()  # the term does something


def slope_along(value: Callable[[], float], weights: torch.Tensor, way: torch.Tensor, size: float) -> float:
    """Central difference of `value` along a way from where the weights are; they come back exactly."""
    start = weights.clone()
    ends = []
    for sign in (1, -1):
        weights.copy_(start + sign * size * way)
        ends.append(value())
    weights.copy_(start)
    return (ends[0] - ends[1]) / (2 * size)


def somewhere(count: int, seed: int = 0) -> torch.Tensor:
    """A vector [count] of normal numbers."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=count).astype(np.float32))


def shifted(who: GradientLearner) -> torch.Tensor:
    """Moves the weights that learn, and gives a view of them."""
    weights = who.parameters.data[: len(who.parameters.grad)]
    weights.add_(somewhere(len(weights), 1), alpha=0.1)
    return weights
