"""How far neighbours are apart: meetings write it, a view reads it."""

from __future__ import annotations

from dataclasses import dataclass

DIVERGENCE = "divergence"
"""The table: a row per neighbour and averaging."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Mean absolute parameter difference to one neighbour around one averaging at schedule time `time`."""

    time: float
    neighbour: int
    before: float
    after: float
