"""Agents that draw from one memory of all, and a term that watches what they draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from learning_fakes import experiment, shape
from one_model_fakes import PLAIN, shard

from mpidcl.experiment.options import Options
from mpidcl.learning.batches import Batch
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.base import Draw, Term
from mpidcl.memory.buffer import Column

CUTS = [0, 5, 5, 17, 40]
"""Rows of four agents: 5, none, 12 and 23."""


class Watch(Term):
    """Two draws, and what each row summed up to when it was stored."""

    name = "watch"

    def __init__(self, options: Any, host: Any) -> None:
        super().__init__(options, host)
        self.seen: list[list[tuple[torch.Tensor, torch.Tensor]]] = []

    def draws(self) -> tuple[Draw, ...]:
        return Draw(7), Draw(3, beside=True)

    def columns(self) -> tuple[Column, ...]:
        return (Column("total", "float32"),)

    def values(self, batch: Batch) -> Mapping[str, torch.Tensor]:
        return {"total": batch.z.flatten(1).sum(1)}

    def loss(self, batch: Batch) -> torch.Tensor | None:
        drawn = batch.drawn.get(self)
        if drawn is None:
            return None
        self.seen.append([(rows.z.flatten(1).clone(), rows.columns["total"]) for rows in drawn])
        return 0.1 * self.host.outputs(drawn[1]).square().mean()


def member(agent: int, agents: int = 4, **settings: Any) -> GradientLearner:
    common = {"scope": "global", "insert": "each step", "capacity": "12 rows", "terms": ()}
    whole: Any = experiment(**{**PLAIN, **common, **settings})
    whole.agents = agents
    who = GradientLearner(whole, agent, shape())
    who.add_term(Watch(Options(), who))
    return who


def life(who: GradientLearner, tasks: list[Any], first: int = 0, ticks: int = 3) -> Any:
    for item in tasks:
        if first == 0:
            who.begin_task(item)
        for tick in range(first, ticks):
            yield from who.learn(item.index, tick)
        first = 0
        yield from who.end_task()


def watched(who: GradientLearner) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    (term,) = who.terms
    assert isinstance(term, Watch)
    return term.seen


def ready(who: GradientLearner, u: int) -> torch.Tensor:
    """The training rows of task u as the encoder gets them [n, ...]."""
    return who.tasks.training(u).z


def own_rows(agent: int, tasks: int = 2) -> list[Any]:
    return [shard(index, CUTS[agent], CUTS[agent + 1]) for index in range(tasks)]
