"""Exchanges by chance: functions of (seed, agent, exchange, tick), so that both ends know the same."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mpidcl.network.schedule.timetable import Chance
from mpidcl.randomness import numpy_generator

BLOCK = 512
"""Ticks whose draws are made together, so that any tick is found without those before its block."""


def drawn(seed: int, agent: int, chance: Chance, first: int, count: int) -> NDArray[np.bool_]:
    """At which of `count` ticks [n] of an agent, numbered from 1 on, the exchange is due; `first` is theirs.

    Each tick by itself, with the same probability. So of Poisson ticks of rate r those that are drawn are
    Poisson too, with rate r * share ("thinning", Lewis and Shedler 1979).
    """
    if not count:
        return np.zeros(0, np.bool_)
    blocks = range(first // BLOCK, (first + count - 1) // BLOCK + 1)
    numbers = np.concatenate([_block(seed, agent, chance.exchange, block) for block in blocks])
    begin = first - blocks[0] * BLOCK
    found: NDArray[np.bool_] = numbers[begin : begin + count] < chance.share
    return found


@lru_cache(maxsize=1024)
def _block(seed: int, agent: int, exchange: int, block: int) -> NDArray[np.float64]:
    """Numbers [BLOCK], uniform from 0 to 1. Both ends of a link, and each tick, ask for the same ones."""
    found = numpy_generator(seed, agent, "share", exchange, block).random(BLOCK)
    found.setflags(write=False)
    return found
