"""How groups are related: an outer step of Theta at a messenger, and what its group is to follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from mpidcl.exchange.base import Neighbourhood, Received
from mpidcl.exchange.estimates.estimate import Estimate, SharesEstimates
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.linear.relation import SINGULAR, Doubles, Relation, RelationOptions
from mpidcl.network.frames.message import Message
from mpidcl.stream.regression.base import group_count


class RelationExchange(Estimate):
    """Own weight and pull [d] of a group: all that its members need of Theta's row and of the means.

    Deputies take outer steps, too, on what they hear, and say nothing until they have to. Of several
    messengers the newest word counts.
    """

    Options: ClassVar[type[Options]] = RelationOptions
    kernels: ClassVar[tuple[str, ...]] = ("precision",)
    options: RelationOptions
    unheard = ("report", "between", "it is for members, to whom links of class `messenger` lead")

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """Options that do not fit each other or the groups, and a second relation."""
        yield from super().problems(use)
        options: RelationOptions = use.options
        if options.least > options.most:
            yield Problem(
                (*use.key, "least"), f"should be at most `most` = {options.most:g}. Found {options.least:g}"
            )
        if options.step == "gradient" and options.form != "logdet":
            yield Problem(
                (*use.key, "step"),
                f'should be "damped" with form = "{options.form}": only logdet has a slope here.'
                ' Found "gradient"',
            )
        if isinstance(options.graph, tuple) and options.form == "fixed":
            yield from _graph_problems(use, options.graph)
        numbers = [
            number
            for number, one in enumerate(use.mine.exchange)
            if one.kind == use.mine.exchange[int(use.key[-1])].kind
        ]
        if use.key[-1] in numbers[1:]:
            yield Problem(
                (*use.key, "kind"),
                f"should be `relation` once: agents learn one. Found another as exchange {numbers[0]}",
            )

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """A relation that is never learned, and options that this form does not read."""
        yield from super().notes(use)
        if (group_count(use.whole) or 1) > 1 and not any(one.kind == "means" for one in use.mine.exchange):
            yield (
                "note: no relation is learned, because no exchange `means` tells groups of each other."
                " Add one, or leave the exchange `relation` out."
            )
        options: RelationOptions = use.options
        default = RelationOptions()
        unread = {
            "graph": options.form != "fixed",
            "lam_1": options.form not in ("sparse", "laplacian"),
            "least": options.form in SINGULAR,
        }
        for name, is_unread in unread.items():
            if is_unread and getattr(options, name) != getattr(default, name):
                yield f'note: `{name}` of the exchange `relation` is not read with form = "{options.form}".'

    def __init__(
        self, options: RelationOptions, learner: SharesEstimates, neighbourhood: Neighbourhood
    ) -> None:
        super().__init__(options, learner, neighbourhood)
        if learner.speaker is not None:
            learner.relation = Relation(options, [len(members) for members in learner.groups.members])

    def example(self) -> Message:
        return Message("relation", {"own": 0.0, "time": 0.0}, {"pull": self.learner.w})

    def _say(self) -> Message | None:
        found = self.learner.relate(self.now)
        if found is None or not self.speaks():
            return None
        own, pull = found
        self.learner.follow(self.now, own, pull)
        return Message("relation", {"own": own, "time": self.now}, {"pull": pull}, floats=len(pull) + 1)

    def to_row(self, message: Message) -> Doubles:
        """own, time, pull."""
        told = [message.scalars["own"], message.scalars["time"]]
        return np.concatenate([told, message.arrays["pull"]])

    def from_row(self, row: Doubles) -> Message:
        """The message."""
        size = len(self.learner.w)
        own, time = float(row[0]), float(row[1])
        return Message("relation", {"own": own, "time": time}, {"pull": row[2 : 2 + size].copy()})

    def settle(self, received: list[Received]) -> None:
        """Follow the newest word of who speaks for the group."""
        learner = self.learner
        for one in received:
            source, message = one.source, one.message
            if learner.groups.of[source] == learner.group:
                pull = self.checked(source, message.arrays.get("pull"), learner.w.shape)
                learner.follow(float(message.scalars["time"]), float(message.scalars["own"]), pull)


def _graph_problems(use: Use, graph: tuple[tuple[int, int], ...]) -> Iterator[Problem]:
    """A graph without pairs, or with one that is no pair of two groups."""
    key, groups = (*use.key, "graph"), group_count(use.whole)
    if not graph:
        yield Problem(key, "should have a pair of groups. Found none: nothing would be related")
    for place, (one, other) in enumerate(graph):
        if groups is not None and not (min(one, other) >= 0 and max(one, other) < groups):
            yield Problem(
                (*key, place),
                f"should be two of the {groups} groups, 0 to {groups - 1}. Found {[one, other]}",
            )
        elif one == other:
            yield Problem((*key, place), f"should be two different groups. Found {[one, other]}")
