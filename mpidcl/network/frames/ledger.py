"""Observation: counts what crosses each outgoing link of one agent. Removing it changes no result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpidcl.base.state import State
from mpidcl.network.frames.conditions import jitter, seconds_on
from mpidcl.network.frames.frame import PREFIX_BYTES, Entry, message_sizes
from mpidcl.network.schedule.topology import Link

FRAME = -1
"""Number of the row that counts the frames themselves: their fixed headers, empty ones included."""
_COLUMNS = 5


class Count(NamedTuple):
    """What one exchange put on one link. Frames count messages; bytes; floats as the paper charges."""

    target: int
    exchange: int
    frames: int
    payload_bytes: int
    header_bytes: int
    paper_floats: int
    simulated_s: float


class Ledger:
    """Counts per (target, exchange) of one sending agent, and time on the described network."""

    def __init__(self, agent: int, seed: int = 0) -> None:
        self._rows: dict[tuple[int, int], list[float]] = {}
        self._seed = seed
        self.agent = agent

    def count(
        self,
        link: Link,
        number: int,
        entries: Sequence[Entry],
        sizes: Sequence[tuple[int, int]] | None = None,
        more: int = 0,
    ) -> int:
        """Count the `number`-th frame of `link`, and return its bytes.

        `sizes` are the `message_sizes` of its entries, if known; `more`: bytes of its head beside those of a
        frame without any.
        """
        if sizes is None:
            sizes = [message_sizes(message) for _, message in entries]
        total = PREFIX_BYTES + more
        for (exchange, message), (payload, whole) in zip(entries, sizes, strict=True):
            total += whole
            row = self._row(link.target, exchange)
            row[0] += 1
            row[1] += payload
            row[2] += whole - payload
            row[3] += message.floats
        row = self._row(link.target, FRAME)
        row[0] += 1
        row[2] += PREFIX_BYTES + more
        row[4] += link.latency + seconds_on(link, total) + jitter(self._seed, link, number)
        return total

    def _row(self, target: int, exchange: int) -> list[float]:
        row = self._rows.get((target, exchange))
        if row is None:
            row = self._rows[target, exchange] = [0.0] * _COLUMNS
        return row

    def rows(self) -> list[Count]:
        """All counts, in order of target and exchange."""
        return [
            Count(target, exchange, int(r[0]), int(r[1]), int(r[2]), int(r[3]), r[4])
            for (target, exchange), r in sorted(self._rows.items())
        ]

    def state(self) -> State:
        """Counts as arrays."""
        keys = sorted(self._rows)
        counts = np.array([self._rows[key] for key in keys], dtype=np.float64)
        return {
            "keys": np.array(keys, dtype=np.int64).reshape(len(keys), 2),
            "counts": counts.reshape(len(keys), _COLUMNS),
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        pairs = zip(state["keys"], state["counts"], strict=True)
        self._rows = {(int(k[0]), int(k[1])): [float(v) for v in row] for k, row in pairs}
