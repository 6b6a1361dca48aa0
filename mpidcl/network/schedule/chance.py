"""Exchanges by chance: functions of (seed, agent, exchange, tick), so that both ends know the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpidcl.network.schedule.timetable import Chance
from mpidcl.randomness import counted_stream, uniforms


def drawn(seed: int, agent: int, chance: Chance, first: int, count: int) -> NDArray[np.bool_]:
    """At which of `count` ticks [n] of an agent, numbered from 1 on, the exchange is due; `first` is theirs.

    Each tick by itself, with the same probability. So of Poisson ticks of rate r those that are drawn are
    Poisson too, with rate r * share ("thinning", Lewis and Shedler 1979).
    """
    numbers = uniforms(counted_stream(seed, agent, "share", chance.exchange), first, count)
    return numbers < chance.share
