"""Who looks at what is under way while a step computes: MPI moves large messages only inside its calls."""

from __future__ import annotations

from typing import Literal, TypeAlias

EVERY_S = 3e-4
"""Seconds between two looks. At 1 Gbit/s 38 kB come in that time, which the system holds for us."""

Progress: TypeAlias = Literal["auto", "none", "hooks", "thread"]
"""Who looks while a step computes: nobody, calls between the layers of the network, or a thread."""
MODES: tuple[Progress, ...] = ("none", "hooks", "thread")
CHOICES: tuple[Progress, ...] = ("auto", *MODES)


def chosen(progress: Progress, machines: int) -> Progress:
    """What `progress` means for a job on so many machines.

    On one machine rows need no help: they are copied once, whenever their reader looks.

    >>> chosen("auto", 1), chosen("auto", 2), chosen("thread", 1)
    ('none', 'hooks', 'thread')
    """
    if progress != "auto":
        return progress
    return "none" if machines == 1 else "hooks"
