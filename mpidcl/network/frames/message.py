"""What two agents say to each other: a kind, a few scalars, named arrays, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mpidcl.network.frames.layout import Layout

Scalar = int | float | str | bool
Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of one exchange; never pickled, immutable from the moment it is offered.

    `arrays` are C-contiguous NumPy arrays of plain numeric dtypes. The sender leaves them alone
    until the meeting has ended; the receiver's arrays are views of the driver's receive buffers and
    must be copied if they are kept after `Exchange.settle` returns.
    `room` is the most bytes that an answer to this message may take (0: no answer is wanted).
    `floats` is what the published budget charges for the message; it is counted, not sent.
    """

    kind: str
    scalars: dict[str, Scalar] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    room: int = 0
    floats: int = 0
    layout: Layout | None = field(default=None, init=False, repr=False, compare=False)
    """What it looks like, once frames have asked (`layout_of_message`): it may go to many neighbours."""

    def alike(self, other: Message) -> Message:
        """This message, which has names, types and shapes of another whose layout is known."""
        object.__setattr__(self, "layout", other.layout)
        return self

    def payload_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())
