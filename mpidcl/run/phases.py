"""What a process does before its first line of progress: a log should not be silent for long.

A cold start on a cluster takes minutes: libraries come over the network, kernels are compiled, data decoded.
"""

from __future__ import annotations

import threading
import time

from mpidcl.base.notices import say

FIRST_S = 5.0
"""Seconds in one phase until a line about it; each further one after twice as long."""
QUICK_S = 2.0
"""A start that is over so soon needs no lines."""


class Phases:
    """Says which phase the process is in, until `end`, or until the block of a `with` is left.

    `name`: of the run; `speaks`: False for all but one process.
    """

    def __init__(self, name: str, speaks: bool = True) -> None:
        self.name = name
        self._speaks = speaks
        self._started = time.monotonic()
        self._phase: tuple[str, float] | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def begin(self, what: str) -> None:
        """The process goes over to `what`, such as "compiling kernels"."""
        if not self._speaks:
            return
        now = time.monotonic()
        # At once, because a thread cannot speak while a library is loaded.
        if now - self._started > QUICK_S:
            say(f"[{self.name}] {what} ...")
        with self._changed:
            self._phase = what, now
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="phases", daemon=True)
            self._thread.start()

    def __enter__(self) -> Phases:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """There are other lines from now on, or no process."""
        with self._changed:
            self._phase, self._speaks = None, False
            self._changed.notify()

    def _watch(self) -> None:
        known, wait = None, FIRST_S
        with self._changed:
            while self._phase is not None:
                if self._phase is not known:
                    known, wait = self._phase, FIRST_S
                what, began = known
                left = began + wait - time.monotonic()
                if left <= 0:
                    say(f"[{self.name}] {what}, {wait:.0f} s so far")
                    wait *= 2
                else:
                    self._changed.wait(left)
