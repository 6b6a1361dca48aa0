"""What an agent may ask of its driver: it yields one of these and is sent the answer."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from mpidcl.network.frame import Entry
from mpidcl.network.topology import Link


class Outgoing(NamedTuple):
    """A frame for a neighbour: the `number`-th of its link."""

    link: Link
    number: int
    entries: tuple[Entry, ...]


class Meet(NamedTuple):
    """One leg of everything that is due at one time.

    The driver posts all receives and sends together and answers, when all have ended, with the
    messages of every `incoming` (link, number), in that order. `when` says for an error what the
    agent waited for.
    """

    when: str
    leg: int
    outgoing: tuple[Outgoing, ...]
    incoming: tuple[tuple[Link, int], ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """The agent has written its part of checkpoint `number`: `size` bytes with this sha256."""

    agent: int
    number: int
    size: int
    sha256: bytes


Request = Meet | Saved
Reply = list[tuple[Entry, ...]]
"""For `Meet`: the messages of each incoming frame. `Saved` is answered with an empty list at once."""

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
    except Exception as error:
        error.add_note(f"This happened in agent {agent}.")
        raise


class Driver(Protocol):
    """Moves frames between agents and wakes them. Two exist and must give the same bits."""

    def drive(self, lives: dict[int, Life]) -> dict[int, Any]:
        """Run the agents of this process to their end; agent -> what its generator returned."""
        ...

    def close(self) -> None:
        """Give back what the driver holds; collective over MPI."""
        ...
