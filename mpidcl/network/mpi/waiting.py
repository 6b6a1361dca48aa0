"""The one loop in which a rank waits: it spins, then yields the core, then sleeps, and serves others."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from mpidcl.network.patience import Patience

SPIN_S = 2e-4
"""Seconds of waiting before the loop lets others have the core; there may be more ranks than cores."""
YIELD_S = 2e-3
"""Seconds of waiting before it sleeps, each time for a twentieth of the wait so far."""
LONGEST_SLEEP_S = 1e-3


class WaitingLoop:
    """Of one rank. `poll` handles what has ended, and says whether anything has; it is called all the time.

    `look` looks for what may come unasked; it is called after SPIN_S of silence. `patience` hears how long
    silences are that end.
    """

    def __init__(self, poll: Callable[[], bool], look: Callable[[], None], patience: Patience) -> None:
        self._poll, self._look, self._patience = poll, look, patience

    def until(self, there: Callable[[], bool], silent: Callable[[float], None]) -> None:
        """Return when `there()` is true. `silent(seconds)` is called between pauses, and may raise."""
        last = time.monotonic()
        while not there():
            if self._poll():
                self._patience.lived(time.monotonic() - last)
                last = time.monotonic()
                continue
            waited = time.monotonic() - last
            if waited > SPIN_S:
                self._look()
                if there():
                    return
                silent(waited)
                _pause(waited)


def _pause(waited: float) -> None:
    """Leave the core to others for a while that fits `waited` seconds of waiting."""
    if waited > YIELD_S:
        time.sleep(min(LONGEST_SLEEP_S, waited / 20))
    elif waited > SPIN_S:
        os.sched_yield()  # time.sleep(0) sleeps: 50 us and more, for the timer's slack
