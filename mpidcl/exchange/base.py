"""What an exchange is: a way of sharing that never sees the clock, the driver or MPI."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from mpidcl.base.state import Facts, State
from mpidcl.errors import ExperimentError
from mpidcl.exchange.capabilities import missing_methods, named, needed
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Part, Use
from mpidcl.experiment.problems import Problem
from mpidcl.network.frames.message import Message
from mpidcl.record.tables import Table, Tables


class ByteRange(NamedTuple):
    """Least and most bytes of one use of a link, payload and headers, all legs together."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class LinkUse:
    """One use of the outgoing link `source -> target`, as an exchange sees it.

    `room` is how many bytes (headers included) this exchange may still put on the link in this use;
    `answer_room` is how many the neighbour's answer may take on the way back.
    `number` counts the uses of this link since the start of the run.
    """

    source: int
    target: int
    room: int
    answer_room: int
    number: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message and the agent that sent it."""

    source: int
    message: Message


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What an exchange may know of the network around its agent.

    `sources` have a link to this agent, `targets` have a link from it; `degrees` maps every
    neighbour and the agent itself to its number of neighbours (for Metropolis weights).
    """

    agent: int
    seed: int
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    degrees: dict[int, int]


class Distance(NamedTuple):
    """How far an agent's parameters were from a neighbour's (mean absolute difference), before and after."""

    neighbour: int
    before: float
    after: float


def _never(agent: int) -> bool:
    return False


class Exchange(Part, ABC):
    """A way of sharing. One object per agent and `[[exchange]]` table.

    In a meeting of `legs` legs the agent calls `ask` for every link that is due, sends the
    messages, hands each received message to `answer` while there are legs left (None: nothing to
    say), and hands what came in the last leg to `settle`, in order of sender. A neighbour that
    says nothing is simply absent from `settle`; what that means is part of the method.
    """

    room = "exchange"
    legs: ClassVar[int] = 1
    clocks: ClassVar[tuple[str, ...] | None] = ("lockstep",)

    now: float = 0.0
    """The schedule time of what is being handled: by it the newest of two things is known."""

    def __init__(self, options: Options, learner: object, neighbourhood: Neighbourhood) -> None:
        self.is_away: Callable[[int], bool] = _never
        """Whether an agent is absent now, a function of the experiment that all agents know."""
        self.options = options
        self.learner = learner
        self.neighbourhood = neighbourhood

    @classmethod
    def needs(cls, options: Any) -> tuple[type, ...]:
        """Protocols that a learner must have to share this way (`exchange.capabilities`, or your own)."""
        return ()

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A learner that cannot share this way."""
        learning = use.mine.learning
        learner = kinds.resolve("learner", learning.kind)
        try:
            protocols = needed(cls, use.options)
        except ExperimentError as error:
            yield Problem((*use.key, "kind"), str(error))
            return
        if lacks := missing_methods(learner, protocols):
            kind = use.mine.exchange[int(use.key[-1])].kind
            able = [one for one in kinds.BUILT_IN["learner"] if cls._can_share(one, use.options)]
            other = f" Set learning.kind to {' or '.join(able)}, or leave" if able else " Leave"
            yield Problem(
                (*use.key, "kind"),
                f'should be one by which learning.kind = "{learning.kind}" can share.'
                f' Found "{kind}", which as set here needs {named(lacks)} of the learner: {learner.__name__}'
                f" has none.{other} the exchange out",
            )

    @classmethod
    def _can_share(cls, learner: str, options: Options) -> bool:
        return not missing_methods(kinds.resolve("learner", learner), cls.needs(options))

    @classmethod
    def modules_on_trial(cls, options: Any) -> int:
        """How many modules it asks a learner to try out at once: there must be room for them."""
        return 0

    @classmethod
    def teaches(cls, options: Any) -> str | None:
        """What it brings that a term may learn from: models of "neighbours", "predictions", or None."""
        return None

    @property
    def oracles(self) -> list[str]:
        """The oracle information that it uses (knowledge of global class ids), for the run's summary."""
        return []

    @abstractmethod
    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        """Least and most bytes of one use of the link to `target`, known before any learning."""

    @abstractmethod
    def ask(self, link: LinkUse) -> Message | None:
        """The first message for the neighbour at the end of `link`; at most `link.room` bytes."""

    def answer(self, link: LinkUse, message: Message) -> Message | None:
        """The reply to `message`, over `link`, of at most min(link.room, message.room) bytes."""
        return None

    @abstractmethod
    def settle(self, received: list[Received]) -> None:
        """Take in what came in the last leg. Arrays must be copied if they are kept."""

    def begin_use(self, task: int) -> None:
        """Called once before the asks of a meeting; prepare what all links share."""
        return

    def end_use(self) -> None:
        """Called when all asks and answers of a tick are made, by mail: forget what was prepared."""
        return

    def start_facts(self) -> Facts:
        """Facts that neighbours must agree on, compared at start (tensor names and shapes, say)."""
        return {}

    def compare_facts(self, mine: Facts, theirs: Facts) -> str | None:
        """Why this agent and the neighbour with facts `theirs` cannot share; None when they can."""
        return None

    def learn_facts(self, neighbour: int, mine: Facts, theirs: Facts) -> str | None:
        """Take in a neighbour's facts, which can be shared with: called at every start, resumed or not.

        Returns a note for the user where only a part can be shared (said once per pair), or None.
        """
        return None

    def distances(self) -> list[Distance]:
        """How far the neighbours of the last meeting were, for the record; empty where it means nothing."""
        return []

    def tables(self) -> Tables:
        """What it adds to the record (`record.tables`); also what a resumed run gets back."""
        return {}

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with the tables of a checkpoint, which hold those of other parts, too."""
        return

    def state(self) -> State:
        """Everything that a resumed run needs; leaves as in `record.checkpoint`."""
        return {}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        return
