"""What the exchanges of estimates have in common: one size, one message for all links, and who speaks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Protocol

import numpy as np

from mpidcl.base.state import Facts
from mpidcl.errors import FrameError
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Neighbourhood
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.learning.linear.relation import Doubles, Relation
from mpidcl.learning.linear.speaker import Speaker
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Message
from mpidcl.network.schedule.groups import Groups


class SharesEstimates(Protocol):
    """A learner with a model of a few numbers, in a group that learns one task."""

    w: Doubles
    variance: float
    agent: int
    group: int
    groups: Groups
    speaker: Speaker | None
    relation: Relation | None

    def be_drawn(self) -> None:
        """Said once: models of its group will draw it."""
        ...

    def hear(self, source: int, model: Doubles, variance: float) -> None:
        """The newest model of a member of its group, with the mean of its squared residuals."""
        ...

    def follow(self, time: float, own: float, pull: Doubles) -> None:
        """What its group's messenger has found at `time`."""
        ...

    def report(self, now: float) -> None:
        """Of a speaker: its own model belongs to the mean of its group."""
        ...

    def relate(self, now: float) -> tuple[float, Doubles] | None:
        """One outer step of a speaker, and what its group is to follow."""
        ...


class Estimate(Exchange):
    """An exchange of one small message, the same for all links of a use."""

    clocks: ClassVar[tuple[str, ...] | None] = ("lockstep", "virtual", "free")
    reads_memory = False
    learner: SharesEstimates
    unheard: ClassVar[tuple[str, ...]] = ()
    """Classes of links on which nobody has a use for its message, and why, as the last entry."""

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Links on which nobody listens."""
        table = use.mine.exchange[int(use.key[-1])]
        *classes, why = cls.unheard or ("",)
        if use.mine.network.topology == "groups" and table.links in classes:
            yield f'note: links = "{table.links}" of the exchange `{table.kind}` change nothing: {why}.'

    @classmethod
    def by_newest(cls, options: Options) -> bool:
        """Whether it only keeps the newest message of each source, as the compiled run does."""
        return True

    @classmethod
    def needs(cls, options: Options) -> tuple[type, ...]:
        """A linear model in a group."""
        return (SharesEstimates,)

    def __init__(self, options: Options, learner: SharesEstimates, neighbourhood: Neighbourhood) -> None:
        super().__init__(options, learner, neighbourhood)
        self._size = message_bytes(self.example())
        self._said: Message | None = None

    @abstractmethod
    def example(self) -> Message:
        """The largest message that there may be."""

    @abstractmethod
    def _say(self) -> Message | None:
        """What is to be told now; None: nothing."""

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        """Of the largest message, always: they differ by a few bytes."""
        return ByteRange(self._size, self._size)

    def begin_use(self, task: int) -> None:
        """Prepare the message of this use."""
        self._said = self._say()

    def ask(self, link: LinkUse) -> Message | None:
        """The message of this use, if it fits."""
        return self._said if link.room >= self._size else None

    def end_use(self) -> None:
        """Forget it."""
        self._said = None

    def speaks(self) -> bool:
        """Whether this agent speaks for its group now: a messenger does, a deputy while all are away."""
        learner = self.learner
        if learner.speaker is None:
            return False
        groups, group = learner.groups, learner.group
        able = (*groups.messengers[group], *groups.deputies[group])
        return self.neighbourhood.agent in groups.acting(group, [a for a in able if self.is_away(a)])

    def start_facts(self) -> Facts:
        """How many numbers a model has, and how many groups there are."""
        return {"features": len(self.learner.w), "groups": len(self.learner.groups)}

    def compare_facts(self, mine: Facts, theirs: Facts) -> str | None:
        """Models of different width cannot be averaged."""
        if mine == theirs:
            return None
        return (
            f"both ends should have models of one width. Found {mine['features']} numbers in agent"
            f" {self.neighbourhood.agent} and {theirs['features']} in its neighbour. Give all agents the same"
            " columns of data."
        )

    @abstractmethod
    def to_row(self, message: Message) -> Doubles:
        """A message as numbers, as `mpidcl_kernels.linear.mail` has them."""

    @abstractmethod
    def from_row(self, row: Doubles) -> Message:
        """The message that `to_row` was given, at the beginning of `row`."""

    def widest(self) -> int:
        """The most numbers that there may be in a row."""
        return len(self.to_row(self.example()))

    def checked(self, source: int, array: object, shape: tuple[int, ...]) -> Doubles:
        """`array`, if it is float64 of this shape. Raises FrameError."""
        if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.shape != shape:
            found = "none" if not isinstance(array, np.ndarray) else f"{array.dtype} {list(array.shape)}"
            raise FrameError(
                f"a message of agent {source} to agent {self.neighbourhood.agent} should hold float64"
                f" {list(shape)}. Found {found}: its sender runs another version or experiment."
            )
        return array
