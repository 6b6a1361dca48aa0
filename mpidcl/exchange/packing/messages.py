"""Messages that are kept: in memory of their own, and as a state holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpidcl.base.state import State
from mpidcl.network.frames.frame import Entry
from mpidcl.network.frames.message import Message


def copied(message: Message) -> Message:
    """The same in memory of its own: what came lies in buffers that are filled again."""
    arrays = {name: array.copy() for name, array in message.arrays.items()}
    return Message(message.kind, message.scalars, arrays, message.room, message.floats)


def packed(entries: Sequence[Entry]) -> State:
    """Messages as a state holds them."""
    return {
        str(place): {
            "slot": slot,
            "kind": message.kind,
            "room": message.room,
            "scalars": dict(message.scalars),
            "arrays": dict(message.arrays),
        }
        for place, (slot, message) in enumerate(entries)
    }


def unpacked(state: State) -> tuple[Entry, ...]:
    found = []
    for _, one in sorted(state.items(), key=lambda item: int(item[0])):
        scalars = {name: _plain(value) for name, value in one["scalars"].items()}
        arrays = {name: np.array(values) for name, values in one["arrays"].items()}
        found.append((int(one["slot"]), Message(str(one["kind"]), scalars, arrays, int(one["room"]))))
    return tuple(found)


def _plain(value: object) -> bool | int | float | str:
    """A scalar as it was before it was saved."""
    found = value.item() if isinstance(value, np.generic) else value
    assert isinstance(found, bool | int | float | str)
    return found
