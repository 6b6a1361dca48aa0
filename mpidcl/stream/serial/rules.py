"""What does not fit together in a stream of tasks one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpidcl.experiment.problems import Problem
from mpidcl.stream.datasets.catalogue import make

if TYPE_CHECKING:
    from mpidcl.experiment.part import Use


def problems(use: Use) -> Iterator[Problem]:
    """For one agent's experiment, or that of all."""
    options = use.options
    if options.class_order == "by id" and options.replacement:
        yield Problem(
            ("stream", "class_order"),
            'should be "drawn" with replacement = true: by their ids, classes come once. Found "by id"',
        )
    if options.class_order == "by id" and options.draw == "independent":
        yield Problem(
            ("stream", "draw"),
            'should be "shared", "iid", "dirichlet" or "classes" with class_order = "by id", where all agents'
            ' have the same classes in the same tasks. Found "independent"',
        )
    if options.draw == "classes" and options.replacement:
        yield Problem(
            ("stream", "replacement"),
            'should be false with draw = "classes": a class that came again could go to another agent, and'
            " its rows to two. Found true",
        )
    if options.draw == "classes":
        yield from _other_lists(use)
    if options.augment and options.incremental == "domain" and options.domains == "permute":
        yield Problem(
            ("stream", "augment"),
            'should be [] with domains = "permute": what has permuted pixels is no image to shift or mirror.'
            f" Found {list(options.augment)}",
        )
    if options.domains == "own" and options.incremental != "domain":
        yield Problem(
            ("stream", "domains"),
            f'should not be "own" with incremental = "{options.incremental}": only the tasks of incremental ='
            ' "domain" have domains. Found "own"',
        )
    if options.first_domain == "drawn" and options.incremental == "domain" and options.domains == "own":
        yield Problem(
            ("stream", "first_domain"),
            'should be "plain" with domains = "own": nothing is drawn, images are as they are. Found "drawn"',
        )
    if options.first_domain == "drawn" and options.incremental != "domain":
        yield Problem(
            ("stream", "first_domain"),
            f'should not be there with incremental = "{options.incremental}": only the tasks of incremental ='
            ' "domain" have domains. Found "drawn"',
        )


def _other_lists(use: Use) -> Iterator[Problem]:
    """Of an agent whose tasks have other lists of classes: its places in them are not those of the others."""
    mine, all_agents = vars(use.options), vars(use.whole.stream.options)
    for name in ("classes_per_task", "class_order", "incremental"):
        if mine[name] != all_agents.get(name, mine[name]):
            yield Problem(
                ("stream", name),
                'should be the same for all agents with draw = "classes", or a row could go to two of them.'
                f" Found {mine[name]!r} beside {all_agents[name]!r}",
            )


def notes(use: Use) -> Iterator[str]:
    """What the words of a file may not lead one to expect."""
    options, agents = use.options, use.whole.agents
    few = options.classes_per_task < agents and use.mine.stream.dataset != "combined"
    if options.incremental == "domain" and options.domains != "own" and _has_domains(use):
        yield (
            f'note: stream.domains = "{options.domains}" changes the images of all domains of the data set'
            ' together. domains = "own" makes a task of each.'
        )
    if options.draw == "classes" and few:
        yield (
            f'note: stream.draw = "classes" deals whole classes, but a task has {options.classes_per_task} of'
            f" them for {agents} agents: agents share the rows of a class, in equal shards."
        )


def _has_domains(use: Use) -> bool:
    return bool(make(use.mine.stream.dataset, use.options.data).domains)
