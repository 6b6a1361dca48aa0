"""What an agent may ask of its driver: it yields one of these and is sent the answer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpidcl.network.frames.frame import Entry
from mpidcl.network.schedule.timetable import Moment
from mpidcl.network.schedule.topology import Link


class Outgoing(NamedTuple):
    """A frame for a neighbour: the `number`-th of its link."""

    link: Link
    number: int
    entries: tuple[Entry, ...]


class Meet(NamedTuple):
    """One leg of everything that is due at one time.

    The driver posts all receives and sends together and answers, when all have ended, with the
    messages of every `incoming` (link, number), in that order, and with nothing else that may have come.
    Several frames of one link are named, and sent, in the order of their numbers. Arrays of the answer are
    views of buffers that the next `Meet` fills again. `when` says for an error what the agent waited for.

    `copied`: the driver keeps copies of what leaves, and the answer does not wait for it. So two agents may
    both send large arrays first and receive them later; every frame must be received before the run ends.
    """

    when: str | Moment
    leg: int
    outgoing: tuple[Outgoing, ...]
    incoming: tuple[tuple[Link, int], ...]
    copied: bool = False


class Leave(NamedTuple):
    """Frames leave, and nobody waits for them: the driver keeps copies. Answered with () at once.

    `last`: nothing comes after them on their links, in this drive.
    """

    when: str | Moment
    outgoing: tuple[Outgoing, ...]
    last: bool = False


class Leaving(NamedTuple):
    """How many frames of each of `links` still leave? Answered at once with a tuple of counts.

    A frame has left when its receiver has begun to take it.
    """

    when: str | Moment
    links: tuple[Link, ...]


class Arrived(NamedTuple):
    """What has come over `links`, all of it whole? Answered with a list of `Arrival`, in order of each link.

    It is answered at once, or with `wait` when there is a frame. Arrays of the answer are the agent's own. A
    link whose last frame has come is not named again; each that was named is, until then.
    """

    when: str | Moment
    links: tuple[Link, ...]
    wait: bool = False


class Arrival(NamedTuple):
    """The `number`-th frame of a link; `last`: no other will come."""

    link: Link
    number: int
    last: bool
    entries: tuple[Entry, ...]


class Row(NamedTuple):
    """One gradient of this agent: `vector [p]` float32, contiguous, left alone until the step is over.

    `place` is its position in the list of all gradients of the step; `facts [f]` float32 is what every
    agent should know of it (its loss, BatchNorm statistics). All rows of a step have one p and one f.
    """

    place: int
    vector: NDArray[np.float32]
    facts: NDArray[np.float32]


class Compare(NamedTuple):
    """How alike are the gradients of all agents? Answered with `Compared`, the same bits everywhere.

    `number` counts them over the run and is the same for all agents, who all take part; `owners[i]` is the
    agent of row i, which everybody knows. An agent without a gradient has no `rows`. `gram = False`: nobody
    needs the Gram matrix, so none is made; a `Combine` may follow all the same.
    """

    when: str
    number: int
    owners: tuple[int, ...]
    rows: tuple[Row, ...]
    gram: bool = True


class Compared(NamedTuple):
    """`gram [n, n]` float64 of the rows in list order, `facts [n, f]` float32. A row with NaN gives NaN.

    Without a Gram matrix `gram` is [0, 0].
    """

    gram: NDArray[np.float64]
    facts: NDArray[np.float32]


Mix = Callable[[Sequence[NDArray[np.float32]], int], NDArray[np.float32]]
"""Makes `[m]` floats of one direction from the same coordinates of all rows, n times `[m]`; the number is
the first coordinate. It must give the same bits on every rank."""


class Combine(NamedTuple):
    """One direction from the rows of the last `Compare`, written to `out [p]` float32; answered with ().

    `weights [n]` float64 (a row of weight 0 is not read), or a `Mix`. All agents give the same. May be asked
    several times after one `Compare`.
    """

    when: str
    number: int
    weights: NDArray[np.float64] | Mix
    out: NDArray[np.float32]


class Gather(NamedTuple):
    """Everybody's array, in order of agent: to all, or to agent `to` alone (the others get an empty list).

    Arrays may differ in shape and dtype; None arrives as None. `number` counts them over the run.
    """

    when: str
    number: int
    array: NDArray[Any] | None
    to: int | None = None


class Post(NamedTuple):
    """A `Gather` of known sizes that is only begun: answered with () at once, and taken by a `Take`.

    `told [k]` int64 goes to all agents. `out[j]` goes to agent j, `into[j]` is filled with what agent j
    sends; both ends know the size. Arrays are contiguous, of numbers or records of numbers; an empty one is
    as good as none. Until the `Take` is answered `out` stays as it is, and `into` is the driver's.

    All agents post the same numbers, in growing order, and may have several under way. Each is taken before
    the next cut and before the end: what is under way is part of no checkpoint. Raises CombineError, in some
    agent, where the two ends of an array, or the k of two agents, differ.

    `planned`: all agents have found from the same numbers what travels, so no size is told: over MPI one
    collective call carries `told`, whatever the number of agents, and arrays go to who wants them. All agents
    say the same.
    """

    when: str
    number: int
    told: NDArray[np.int64]
    out: Mapping[int, NDArray[np.generic]]
    into: Mapping[int, NDArray[np.generic]]
    planned: bool = False


class Take(NamedTuple):
    """Ends a `Post`. Answered with `Taken` when `into` is filled and `out` is free."""

    when: str
    number: int


class Taken(NamedTuple):
    """What all agents have told, `told [agents, k]` int64.

    late_s: seconds for which the `Take` waited until the last of them had posted; 0 where all had before.
    What it waited longer is the network's, not that agent's.
    """

    told: NDArray[np.int64]
    late_s: float


@dataclass(frozen=True, slots=True)
class Saved:
    """Process `rank` has written the file with its agents at cut number `cut`, which is at `time`.

    It has `size` bytes with this sha256.
    """

    cut: int
    time: Fraction
    size: int
    sha256: bytes
    rank: int = 0


class Pulse(NamedTuple):
    """Nothing is asked: the driver may look for messages. Answered with an empty list, at once."""


class Halt(NamedTuple):
    """The agent begins nothing more until all have agreed on a cut. Answered with an empty list."""


class Reach(NamedTuple):
    """All ticks up to `moment`, of all agents of this process, are to be over. Answered with ().

    Under a driver that takes ticks out of the agents' hands (`run/compiled`).
    """

    moment: Moment


Request = (
    Reach | Meet | Leave | Leaving | Arrived | Saved | Compare | Combine | Gather | Post | Take | Pulse | Halt
)
Reply = Any
"""For `Meet`: a list with the messages of each incoming frame. For `Saved`: an empty list, at once."""

T = TypeVar("T")
Asking = Generator[Request, Reply, T]
"""Work that may ask the driver, and then gives a T."""
Life = Generator[Request, Reply, Any]
"""A running agent."""


def resume(agent: int, life: Life, reply: Reply | None) -> Request:
    """An agent's next request; `reply` is None at its start. Raises StopIteration when its life has ended.

    Whatever the agent raises gets a note that names it, for the traceback.
    """
    try:
        return next(life) if reply is None else life.send(reply)
    except StopIteration:
        raise
    except BaseException as error:
        _name(agent, error)
        raise


@contextmanager
def of_agent(agent: int) -> Iterator[None]:
    """Gives such a note to whatever the block raises."""
    try:
        yield
    except BaseException as error:
        _name(agent, error)
        raise


def _name(agent: int, error: BaseException) -> None:
    error.add_note(f"This happened in agent {agent}.")


class Driver(Protocol):
    """Moves frames between agents and wakes them. Two exist and must give the same bits."""

    def drive(self, lives: dict[int, Life]) -> dict[int, Any]:
        """Run the agents of this process to their end; agent -> what its generator returned."""
        ...

    def close(self) -> None:
        """Give back what the driver holds; collective over MPI."""
        ...
