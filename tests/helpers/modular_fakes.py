"""Compositional learners in the middle of their tasks, and modules that neighbours could send."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from learning_fakes import accuracies, compositional, live, task

from mpidcl.learning.compositional.learner import CompositionalLearner
from mpidcl.learning.compositional.modular import ForeignModule, Origin

TASKS = [task(index, rows=24) for index in range(5)]
CNN = {"kind": "compositional-cnn", "options": {"width": 3, "depth": 2, "dropout": 0.0}}


def floats(who: CompositionalLearner) -> dict[str, torch.Tensor]:
    """Copies of all segments by name: `module.3`, `head.1`, `structure.2`."""
    kinds = {"shared": "module", "modules": "module", "heads": "head", "structures": "structure"}
    found, counts = {}, Counter()
    for segment in who.parameters.segments:
        if segment.kind in kinds:
            name = kinds[segment.kind]
            found[f"{name}.{counts[name]}"] = who.parameters.data[segment.start : segment.stop].clone()
            counts[name] += 1
    return found


def changed(who: CompositionalLearner, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, values in floats(who).items() if not torch.equal(values, before[name])}


def grown(**settings: Any) -> CompositionalLearner:
    """After two joint tasks and one that added a module; task 3 has begun."""
    settings = {"joint": 2, "how": {"threshold": -1.0}} | settings
    who = compositional(**settings)
    live(who, TASKS[:3], joint=2)
    assert who.model.kept == who.model.depth + 1
    who.begin_task(TASKS[3])
    return who


def foreign(
    who: CompositionalLearner, seed: int = 0, head: bool = True, structure: bool = True
) -> ForeignModule:
    rng, depth = np.random.default_rng((11, seed)), who.model.depth
    classes, columns = who.model.heads.block.shape[1:]

    def draw(*size: int) -> np.ndarray:
        return rng.normal(0, 0.3, size).astype(np.float32)

    return ForeignModule(
        Origin(3, 1, depth, 0.5),
        draw(who.model.module(0).numel()),
        draw(classes, columns) if head else None,
        draw(depth + 1, depth) if structure else None,
    )


def ask(who: CompositionalLearner) -> None:
    """Every question there is."""
    x = TASKS[0].test.x()
    accuracies(who, who.task)
    who.fisher()
    who.features(who.pool(who.task)[0], who.task)
    who.logits_of_prepared(who.prepared(x), 0)
    who.logits_with(foreign(who), x)
    who.module_facts(), who.added(), who.module(0), who.head_of(0), who.structure_of(0), who.state()
    who.tables()
    if who.task >= 2:
        who.try_out([foreign(who, seed) for seed in range(2)], 2, 1)
