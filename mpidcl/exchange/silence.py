"""What stands for a neighbour from which nothing came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mpidcl.base.state import State
from mpidcl.exchange.base import Received
from mpidcl.exchange.packing.messages import copied, packed, unpacked
from mpidcl.network.frames.message import Message

Silent = Literal["own", "newest"]


class Newest:
    """own: nothing does. newest: the last message that came from it, of which a copy is kept."""

    def __init__(self, silent: Silent) -> None:
        self._keeps = silent == "newest"
        self._last: dict[int, Message] = {}

    def heard(self, received: Sequence[Received]) -> list[Received]:
        """What came and what stands for the silent ones, in order of source."""
        found = list(received)
        if self._keeps:
            self._last |= {one.source: copied(one.message) for one in received}
            found = [Received(source, message) for source, message in self._last.items()]
        return sorted(found, key=lambda one: one.source)

    def state(self) -> State:
        """The last messages, if there are any."""
        return {"last": packed(sorted(self._last.items()))} if self._last else {}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._last = dict(unpacked(state.get("last", {})))
