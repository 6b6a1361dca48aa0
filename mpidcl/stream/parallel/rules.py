"""What does not fit together in an experiment whose tasks run side by side."""

from __future__ import annotations

from collections.abc import Iterator

from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.experiment.units import Cadence


def problems(use: Use) -> Iterator[Problem]:
    """For one agent's experiment, or that of all."""
    every = use.mine.checkpoint.every
    if isinstance(every, Cadence) and every.unit != "task":
        yield Problem(
            ("checkpoint", "every"),
            'should be in tasks or minutes with parallel streams, such as "1 task" or "10 min": they have no'
            f' epochs. Found "{every}"',
        )
    there = use.whole.stream
    if use.mine is not use.whole and (
        use.mine.stream.kind != there.kind or use.options.spread != there.options.spread
    ):
        text = "should leave `kind` and `spread` alone: all agents have parallel streams, or none has"
        yield Problem(use.key, text)
    if use.options.spread == "agents" and use.mine is use.whole:
        yield from _one_model(use)


def _one_model(use: Use) -> Iterator[Problem]:
    """All agents train one model: nothing is shared beside it, and nothing differs."""
    for number, _ in enumerate(use.whole.exchange):
        yield Problem(
            ("exchange", number),
            'should not be there, because stream.spread is "agents": all agents have one model already. '
            'Remove it, or set stream.spread = "none"',
        )
    if use.options.memory_agent == "own" and use.whole.agents < 2:
        yield Problem(
            ("stream", "memory_agent"),
            f'should be "first" unless there are 2 agents or more. Found agents = {use.whole.agents}',
        )
    for number, rule in enumerate(use.whole.agent):
        if rule.parts():
            yield Problem(
                ("agent", number),
                'should not be there, because stream.spread is "agents": all agents train one model on one'
                " stream, and nothing may differ between them",
            )
