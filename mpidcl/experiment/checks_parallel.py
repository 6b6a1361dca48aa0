"""What must fit together where streams run side by side: learner, memory, terms, exchanges, agents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpidcl.experiment import kinds
from mpidcl.experiment.problems import Problem
from mpidcl.experiment.units import Cadence

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

SHAREABLE = ("parameters",)
"""Exchanges of ours between agents that each learn a parallel stream."""


def problems(experiment: Experiment) -> Iterator[Problem]:
    """Everything that does not fit, nothing for serial streams and learners."""
    wrong = list(_tables(experiment))
    if not wrong and hasattr(experiment.stream.options, "spread"):
        yield from _exchanges(experiment)
        yield from _agents(experiment)
    yield from wrong or _rules(experiment)


def _tables(experiment: Experiment) -> Iterator[Problem]:
    """Stream, learner and memory of one agent."""
    parallel = hasattr(experiment.stream.options, "spread")
    if parallel != (experiment.learning.kind == "parallel"):
        yield from _not_both(experiment, parallel)
    elif parallel:
        yield from _memory(experiment)
        yield from _second_moment(experiment)


def _rules(experiment: Experiment) -> Iterator[Problem]:
    """The same for agents that differ, where they may."""
    spread = getattr(experiment.stream.options, "spread", None)
    different = {group[0] for group in experiment.alike()}
    found = []
    for number, rule in enumerate(experiment.agent) if spread != "agents" else ():
        for agent in sorted(different & {*rule.ids}):
            mine = experiment.model_copy(update={**experiment.tables_of(agent)[0], "agent": ()})
            found += [Problem(("agent", number, *key), text) for key, text in _tables(mine)]
            if getattr(mine.stream.options, "spread", None) != spread:
                text = "should leave `kind` and `spread` alone: all agents have parallel streams, or none has"
                found.append(Problem(("agent", number, "stream"), text))
    yield from dict.fromkeys(found)


def _not_both(experiment: Experiment, parallel: bool) -> Iterator[Problem]:
    if parallel and experiment.learning.kind in ("gradient", "compositional"):
        yield Problem(
            ("learning", "kind"),
            f'should be "parallel", because stream.kind is "{experiment.stream.kind}". Found'
            f' "{experiment.learning.kind}"',
        )
    elif not parallel:
        yield Problem(
            ("stream", "kind"),
            f'should be "parallel", because learning.kind is. Found "{experiment.stream.kind}"',
        )


def _memory(experiment: Experiment) -> Iterator[Problem]:
    if experiment.memory.policy != "class-quota":
        yield Problem(
            ("memory", "policy"),
            f'should be "class-quota" with parallel streams. Found "{experiment.memory.policy}"',
        )
    wrong = [term.kind for term in experiment.learning.terms if term.kind != "replay"]
    if wrong:
        yield Problem(
            ("learning", "terms"),
            f'should be empty or ["replay"], which here is the gradient of the memory. Found "{wrong[0]}"',
        )
    every = experiment.checkpoint.every
    if isinstance(every, Cadence) and every.unit != "task":
        yield Problem(
            ("checkpoint", "every"),
            'should be in tasks or minutes with parallel streams, such as "1 task" or "10 min": they have no'
            f' epochs. Found "{every}"',
        )


def _second_moment(experiment: Experiment) -> Iterator[Problem]:
    learning = experiment.learning
    if learning.options.second_moment == "direction":
        return
    if not getattr(kinds.resolve("optimizer", learning.optimizer), "second_moment", False):
        yield Problem(
            ("learning", "second_moment"),
            f'should be "direction" with optimizer = "{learning.optimizer}", which keeps no running square: a'
            f' choice is there with "adam" and "adamw". Found "{learning.options.second_moment}"',
        )


def _exchanges(experiment: Experiment) -> Iterator[Problem]:
    together = experiment.stream.options.spread == "agents"
    for number, table in enumerate(experiment.exchange):
        if together:
            yield Problem(
                ("exchange", number),
                'should not be there, because stream.spread is "agents": all agents have one model already. '
                'Remove it, or set stream.spread = "none"',
            )
        elif table.kind in ("data", "modules"):
            yield Problem(
                ("exchange", number, "kind"),
                f'should be {", ".join(SHAREABLE)} with parallel streams. Found "{table.kind}"',
            )
        elif getattr(table.options, "method", "average") != "average":
            yield Problem(
                ("exchange", number, "method"),
                f'should be "average" with parallel streams: their losses have no terms. Found'
                f' "{table.options.method}"',
            )


def _agents(experiment: Experiment) -> Iterator[Problem]:
    options = experiment.stream.options
    if options.spread != "agents":
        return
    if options.memory_agent == "own" and experiment.agents < 2:
        yield Problem(
            ("stream", "memory_agent"),
            f'should be "first" unless there are 2 agents or more. Found agents = {experiment.agents}',
        )
    for number, rule in enumerate(experiment.agent):
        if rule.parts():
            yield Problem(
                ("agent", number),
                'should not be there, because stream.spread is "agents": all agents train one model on one'
                " stream, and nothing may differ between them",
            )
