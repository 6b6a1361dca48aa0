"""Enforcement: how many bytes each exchange may put on a link in one use."""

from __future__ import annotations

from collections.abc import Sequence

from mpidcl.errors import ExperimentError, FrameError
from mpidcl.network.frames.frame import PREFIX_BYTES
from mpidcl.network.schedule.topology import Link

UNLIMITED = 2**62
"""Room of a link without a budget, in bytes."""


class Allowance:
    """What is left of a link's budget in one use.

    Exchanges are served in file order; each gets what is left when the least of those after it
    is kept back. Bytes that are not used do not carry over to the next use.
    """

    def __init__(self, link: Link, leasts: Sequence[int], legs: int) -> None:
        self._link = link
        total = UNLIMITED if link.budget is None else link.budget - legs * PREFIX_BYTES
        self._left = total - sum(leasts)

    def room(self, least: int, most: int) -> int:
        """Room for the next exchange in file order, headers of its messages included."""
        return least + max(0, min(most - least, self._left))

    def take(self, least: int, used: int) -> None:
        """The exchange put `used` bytes on the link, or reserved them for its later legs."""
        self._left -= used - least


def check_room(link: Link, kind: str, used: int, room: int) -> None:
    """Raises FrameError when an exchange offers more than its room: a mistake in the exchange."""
    if used > room:
        raise FrameError(
            f"{link.name}: exchange {kind!r} may use at most {room} bytes here. Found {used}: "
            "its `ask` or `answer` does not respect `link.room`."
        )


def check_budget(link: Link, kinds: Sequence[str], leasts: Sequence[int], legs: int, more: int = 0) -> None:
    """Raises ExperimentError when a link's budget is below the least bytes of all its exchanges.

    `more`: bytes of the head of each frame beside PREFIX_BYTES.
    """
    head = PREFIX_BYTES + more
    need = sum(leasts) + legs * head
    if link.budget is not None and need > link.budget:
        parts = ", ".join(f"{kind} {least} bytes" for kind, least in zip(kinds, leasts, strict=True))
        raise ExperimentError(
            f"[network] budget should be at least {need} bytes on {link.name}: {parts}, and {legs} frame "
            f"headers of {head} bytes. Found {link.budget}. Raise the budget or share less."
        )
