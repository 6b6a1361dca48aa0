"""Small experiments, shapes and tasks with the attributes that learners and models read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mpidcl.experiment import kinds
from mpidcl.experiment.units import Capacity
from mpidcl.learning.compositional.learner import CompositionalLearner
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.learner import Learner
from mpidcl.model.base import Model
from mpidcl.model.build import build_model
from mpidcl.stream.tasks import StreamShape, Task
from mpidcl.testing.asking import result_of

INPUT = (1, 6, 5)


@dataclass(frozen=True)
class FakeRows:
    """Rows that are gathered at once."""

    pixels: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def x(self) -> np.ndarray:
        return self.pixels.copy()

    def part(self, chosen: slice) -> FakeRows:
        return FakeRows(self.pixels[chosen], self.y[chosen])


def shape(
    input_shape: tuple[int, ...] = INPUT, heads: int = 5, classes: int = 2, joint: int = 0
) -> StreamShape:
    return StreamShape(input_shape, heads, classes, joint_tasks=joint)


def task(
    index: int,
    rows: int = 20,
    input_shape: tuple[int, ...] = INPUT,
    classes: int = 2,
    head: int | None = None,
) -> Task:
    """A task whose classes are noisy copies of one image each: learnable in a few epochs."""
    rng = np.random.default_rng((7, index))
    images = rng.random((classes, *input_shape), dtype=np.float32)

    def draw(count: int) -> FakeRows:
        y = rng.integers(0, classes, count)
        noise = rng.random((count, *input_shape), dtype=np.float32)
        return FakeRows((0.7 * images[y] + 0.3 * noise).astype(np.float32), y)

    parts: list[Any] = [draw(rows), draw(15), draw(40)]
    return Task(index, "fake", tuple(range(classes)), *parts, head=index if head is None else head)


def experiment(
    seed: int = 0,
    kind: str = "mlp",
    options: dict[str, Any] | None = None,
    capacity: str = "6 rows per task",
    policy: str = "reservoir",
    insert: str = "task end",
    scope: str = "local",
    draw: str = "uniform",
    **learning: Any,
) -> SimpleNamespace:
    defaults = {
        "optimizer": "adam",
        "schedule": None,
        "precision": None,
        "lr": 1e-2,
        "momentum": 0.0,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "epochs": 3,
        "batch": 8,
        "terms": ("replay",),
        "objective": "classification",
        "one_model": False,
        "device": "cpu",
        "reset_optimizer": False,
        "ways": None,
    }
    learning = defaults | learning
    learning["options"] = GradientLearner.Options(**(learning.pop("ways") or {}))
    objective = learning["objective"]
    named = {"kind": objective} if isinstance(objective, str) else dict(objective)
    of = kinds.resolve("objective", named["kind"]).Options
    learning["objective"] = SimpleNamespace(kind=named.pop("kind"), options=of(**named))
    own = kinds.resolve("model", kind).Options(**({"width": 8} if options is None else options))
    return SimpleNamespace(
        seed=seed,
        model=SimpleNamespace(kind=kind, options=own),
        memory=SimpleNamespace(
            capacity=Capacity.parse(capacity),
            policy=policy,
            options=None,
            insert=insert,
            scope=scope,
            draw=draw,
        ),
        learning=SimpleNamespace(**learning),
        stream=SimpleNamespace(kind="serial", options=kinds.resolve("stream", "serial").default_options()),
        exchange=(),
    )


def learner(agent: int = 0, where: Any = None, joint: int = 0, **settings: Any) -> GradientLearner:
    found: Any = experiment(**settings)
    return GradientLearner(found, agent, where or shape(joint=joint))


def compositional(
    agent: int = 0,
    where: Any = None,
    how: dict[str, Any] | None = None,
    joint: int = 0,
    **settings: Any,
) -> CompositionalLearner:
    """A compositional learner; `how` are its own options. Without dropout unless `options` ask for it."""
    defaults = {"kind": "compositional-mlp", "options": {"width": 8, "depth": 3, "dropout": 0.0}}
    whole: Any = experiment(**(defaults | settings))
    whole.learning.options = CompositionalLearner.Options(**(how or {}))
    return CompositionalLearner(whole, agent, where or shape(joint=joint))


def model(
    kind: str, options: dict[str, Any], where: Any, seed: int = 0, agent: int = 0, modules: int = 0
) -> Model:
    return build_model(experiment(seed, kind, options), agent, where, modules=modules)


def live(who: GradientLearner, tasks: Any, ticks: int = 3, joint: int = 0) -> None:
    """Learn the tasks in order, `ticks` epochs each; the first `joint` together."""
    for item in tasks:
        who.begin_task(item)
        for tick in range(0 if item.index + 1 < joint else ticks):
            list(who.learn(item.index, tick))
        result_of(who.end_task())


def gradient_on(who: GradientLearner, rows: Any) -> torch.Tensor:
    """The gradient of the mean cross-entropy of prepared rows, by torch alone."""
    who.parameters.zero_grad()
    functional.cross_entropy(who.outputs(rows), rows.y).backward()
    return who.parameters.grad.clone()


def check_resuming(make: Callable[[], GradientLearner], tasks: Any, ticks: int = 2) -> None:
    """What is stopped in the middle of the last task and loaded again is what was never stopped."""
    straight, first, second = make(), make(), make()
    live(straight, tasks, ticks)
    live(first, tasks[:-1], ticks)
    first.begin_task(tasks[-1])
    list(first.learn(tasks[-1].index, 0))
    second.load(first.state(), tasks.__getitem__)
    for tick in range(1, ticks):
        list(second.learn(tasks[-1].index, tick))
    result_of(second.end_task())
    assert second.digest() == straight.digest()
    found, wanted = second.memory.rows(), straight.memory.rows()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def accuracies(who: Learner, upto: int) -> Any:
    """What the learner answers right of each task `[upto + 1]`."""
    return result_of(who.evaluate(upto))["accuracy"]
