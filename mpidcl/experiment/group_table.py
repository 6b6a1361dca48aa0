"""The table [network.groups]: agents that share a task, and who speaks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from mpidcl.experiment.problems import Problem
from mpidcl.experiment.tables import Table

Shape = Literal["complete", "ring", "directed-ring", "line", "star"]
Ids = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)]
Sizes = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)]
CLASSES = ("inside", "report", "messenger", "between")
"""Classes of links in groups: between members, to who speaks for them, from there to them, between groups."""
TELLING = "members"
"""Class of the links of both first classes: on which a member says what it knows."""


class GroupTable(Table):
    """Who is in which group of the topology `groups`, and how they are linked."""

    of: Annotated[int, Field(ge=1)] | Sizes | None = Field(
        default=None, description="agents in each group, in order of number: 6, or [6, 6, 3]"
    )
    members: Annotated[tuple[Ids, ...], Field(strict=False)] | None = Field(
        default=None, description="in place of `of`: the members of each group, [[0, 2], [1, 3]]"
    )
    messengers: Annotated[int, Field(ge=1)] | Ids = Field(
        default=1, description="how many first members speak for a group, or which agents do"
    )
    deputies: int = Field(
        default=0,
        ge=0,
        description="how many members come after them and speak while all messengers are away",
    )
    inside: Shape = Field(
        default="ring", description="links inside a group: complete, ring, directed-ring, line or star"
    )
    between: Shape = Field(
        default="complete", description="which groups are linked, by those who may speak for them: the same"
    )

    def split(self, agents: int) -> tuple[tuple[int, ...], ...]:
        """The members of each group, whether or not that fits so many agents."""
        if self.members is not None:
            return self.members
        sizes = (
            self.of
            if isinstance(self.of, tuple)
            else (self.of or agents,) * -(-agents // (self.of or agents))
        )
        ends = [0]
        for size in sizes:
            ends.append(ends[-1] + size)
        return tuple(tuple(range(*ends_of)) for ends_of in pairwise(ends))

    def speakers(self, members: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The messengers of a group, and its deputies."""
        if isinstance(self.messengers, tuple):
            first = tuple(agent for agent in self.messengers if agent in members)
        else:
            first = members[: self.messengers]
        others = tuple(agent for agent in members if agent not in first)
        return first, others[: self.deputies]

    def problems(self, agents: int) -> Iterator[Problem]:
        """Groups that are not all of the agents, each once, or have nobody to speak for them."""
        key = ("network", "groups")
        if (self.of is None) == (self.members is None):
            found = "neither" if self.of is None else "both"
            yield Problem(key, f"should have one of the keys `of` and `members`. Found {found}")
            return
        name = "of" if self.members is None else "members"
        largest = max(self.of) if isinstance(self.of, tuple) else self.of or 0
        if largest > agents:  # and so many numbers are not listed to find that out
            yield Problem((*key, "of"), f"should be at most agents = {agents}. Found {largest}")
            return
        split = self.split(agents)
        if () in split:
            yield Problem(
                (*key, name), f"should have a member in each group. Found none in group {split.index(())}"
            )
            return
        listed = [agent for members in split for agent in members]
        if sorted(listed) != list(range(agents)):
            yield Problem((*key, name), _misfit(listed, agents))
            return
        if isinstance(self.messengers, tuple):
            if wrong := [agent for agent in self.messengers if agent >= agents]:
                yield Problem((*key, "messengers"), f"should be below agents = {agents}. Found {wrong[0]}")
            for number, members in enumerate(split):
                if not self.speakers(members)[0]:
                    yield Problem(
                        (*key, "messengers"),
                        f"should have at least one member of each group. Found none of group {number}, whose"
                        f" members are {_few(members)}",
                    )


def _misfit(listed: list[int], agents: int) -> str:
    """What is wrong with groups that are not all agents, each once."""
    said = f"should put each of the {agents} agents into one group"
    doubled = sorted(agent for agent, count in Counter(listed).items() if count > 1)
    if doubled:
        return f"{said}. Found agent {doubled[0]} more than once"
    if missing := sorted({*range(agents)} - {*listed}):
        return f"{said}. Found no group for {_few(tuple(missing))}"
    return f"{said}. Found places for {len(listed)} agents"


def _few(agents: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, agents[:8]))
    return shown + (f" and {len(agents) - 8} more" if len(agents) > 8 else "")
