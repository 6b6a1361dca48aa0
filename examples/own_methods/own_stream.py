"""A stream of your own: serial tasks that get shorter and shorter, as attention does."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mpidcl.stream.serial.options import SerialOptions
from mpidcl.stream.serial.stream import SerialStream


class TiringOptions(SerialOptions):
    """Those of serial tasks, and how fast attention goes."""

    shrink: float = Field(0.8, gt=0, le=1, description="epochs of a task, relative to the task before")


class Tiring(SerialStream):
    """Task t has epochs * shrink^t epochs, at least one."""

    Options = TiringOptions

    def __init__(self, experiment: Any, agent: int) -> None:
        super().__init__(experiment, agent)
        shrink = experiment.stream.options.shrink
        self.ticks = tuple(
            epochs and max(1, round(epochs * shrink**t)) for t, epochs in enumerate(self.ticks)
        )
