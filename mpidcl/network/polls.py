"""Who looks at what is under way while a step computes: MPI moves large messages only inside its calls."""

from __future__ import annotations

from typing import Literal, TypeAlias

EVERY_S = 3e-4
"""Seconds between two looks. At 1 Gbit/s 38 kB come in that time, which the system holds for us."""

Progress: TypeAlias = Literal["auto", "none", "hooks", "thread"]
"""Who looks while a step computes: nobody, calls between the layers of the network, or a thread."""
MODES: tuple[Progress, ...] = ("none", "hooks", "thread")
CHOICES: tuple[Progress, ...] = ("auto", *MODES)
