"""Stops and checkpoints by the clock that come at chosen moments."""

from __future__ import annotations

import signal

from mpidcl.network.schedule.timetable import Moment
from mpidcl.network.stopping import Stopping


class AskedAt(Stopping):
    """Asked to stop when the agents of this process have begun so many things."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def begin(self, agent: int, moment: Moment) -> None:
        super().begin(agent, moment)
        self.left -= 1
        if self.left == 0:
            assert self.ask(signal.SIGTERM)  # also where another process was asked before


class SavedAt(Stopping):
    """The clock asks to save each time that the agents of this process have begun so many things more."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.count, self.every_count = 0, every

    def begin(self, agent: int, moment: Moment) -> None:
        super().begin(agent, moment)
        self.count += 1
        if self.count % self.every_count == 0 and self.end is None:
            self.saving = True
