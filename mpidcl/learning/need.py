"""What a learner needs in memory, at least, told before any of it is allocated.

Counted is what learning certainly touches: parameters, gradients and moments of the optimiser, the rows that
a replay memory will come to hold, and a batch of rows. Activations, exchanges and the data set come on top.
What depends on a draw, or on which agent it is, is left out: a run that fits is never refused.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple

from mpidcl.base.quantities import bytes_text
from mpidcl.experiment import kinds

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.stream.stream import Stream


class Need(NamedTuple):
    """Bytes of one agent, at least."""

    model: int = 0
    memory: int = 0
    batch: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)

    def __str__(self) -> str:
        parts = zip(("model and optimiser", "replay memory", "batch"), self, strict=True)
        return ", ".join(f"{name} {bytes_text(size)}" for name, size in parts if size)


def batch_bytes(mine: Experiment, stream: Stream) -> int:
    """Of a batch of rows."""
    rows = min(mine.learning.batch, stream.rows_of_task(mine.agents))
    return rows * 4 * prod(stream.shape.input_shape)


def memory_bytes(mine: Experiment, stream: Stream) -> int:
    """Of the rows that a replay memory may come to hold: its room, or all that are ever offered."""
    row, offered = 4 * prod(stream.shape.input_shape), stream.rows_of_task(mine.agents)
    tasks, capacity = len(stream.ticks), mine.memory.capacity
    planned = kinds.resolve("stream", mine.stream.kind).planned(mine.stream.options)
    outputs = stream.shape.heads * stream.shape.classes_per_head
    drawn = tasks * planned.classes if planned.classes else outputs
    times = {"task": tasks, "class": min(outputs, drawn), None: 1}[capacity.per]
    return int(min(capacity.rows(row, offered) * times, offered * tasks)) * row
