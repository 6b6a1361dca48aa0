"""Who has not come? A collective call does not say for whom it waits, so ranks that wait ask all others.

Nothing is sent unless a rank has waited for long. Then it asks every other rank once for each round; a rank
that waits, too, answers at once with the last round that it has begun, and one that works does not answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from mpidcl.network.mpi.tags import HERE, WHO
from mpidcl.network.mpi.wire import Wire

ASK_S = 30.0
"""Seconds of waiting before a rank asks."""


class RollCall:
    """Of one rank. `wire` is not closed with it; `patience()`: seconds after which this rank will give up."""

    def __init__(self, wire: Wire, patience: Callable[[], float]) -> None:
        self._wire, self._patience = wire, patience
        self._begun = -1
        self._since = 0.0
        self._asked = -1
        self._heard: dict[int, int] = {}

    def begin(self, number: int) -> None:
        """This rank has begun its part of a round."""
        self._begun, self._since = number, time.monotonic()

    def poll(self, waiting: bool) -> None:
        """Answer who asks, and ask, once for each round, where this rank has waited for long."""
        self._listen()
        long = min(ASK_S, self._patience() / 2)
        if waiting and self._asked < self._begun and time.monotonic() - self._since > long:
            self._asked = self._begun
            self._heard.clear()
            for rank in self._wire.others:
                self._wire.note(np.array([self._begun], np.int64), rank, WHO)

    def _listen(self) -> None:
        word = np.zeros(1, np.int64)
        for rank, tag in self._wire.notes(word, (WHO, HERE)):
            if tag == HERE:
                self._heard[rank] = int(word[0])
            elif self._begun >= 0:
                self._wire.note(np.array([self._begun], np.int64), rank, HERE)

    def missing(self) -> set[int]:
        """The ranks that have not begun the round in which this rank waits, as far as it knows."""
        if self._asked != self._begun:
            return set()
        return {rank for rank in self._wire.others if self._heard.get(rank, -1) < self._begun}

    @property
    def asked(self) -> bool:
        """Whether this rank has ever asked: somebody may never have read that."""
        return self._asked >= 0
