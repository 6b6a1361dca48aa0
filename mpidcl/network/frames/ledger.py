"""Observation: counts what crosses each outgoing link of one agent. Removing it changes no result."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mpidcl.network.frames.frame import PREFIX_BYTES, Entry, message_bytes
from mpidcl.network.schedule.topology import Link
from mpidcl.randomness import numpy_generator

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
        self._jitter = numpy_generator(seed, agent, "network jitter")
        self.agent = agent

    def count(self, link: Link, entries: tuple[Entry, ...]) -> None:
        """Count one frame that leaves over `link`."""
        total = PREFIX_BYTES
        for exchange, message in entries:
            payload, whole = message.payload_bytes(), message_bytes(message)
            total += whole
            self._add(link.target, exchange, 1, payload, whole - payload, message.floats, 0.0)
        self._add(link.target, FRAME, 1, 0, PREFIX_BYTES, 0, self._seconds(link, total))

    def _seconds(self, link: Link, size: int) -> float:
        seconds = link.latency + (size / link.bandwidth if link.bandwidth else 0.0)
        return seconds + link.jitter * self._jitter.random() if link.jitter else seconds

    def _add(self, target: int, exchange: int, *amounts: float) -> None:
        row = self._rows.setdefault((target, exchange), [0.0] * _COLUMNS)
        for column, amount in enumerate(amounts):
            row[column] += amount

    def rows(self) -> list[Count]:
        """All counts, in order of target and exchange."""
        return [
            Count(target, exchange, int(r[0]), int(r[1]), int(r[2]), int(r[3]), r[4])
            for (target, exchange), r in sorted(self._rows.items())
        ]

    def state(self) -> dict[str, Any]:
        """Counts as arrays, and the jitter's generator."""
        from mpidcl.randomness import generator_state

        keys = sorted(self._rows)
        return {
            "keys": np.array(keys, dtype=np.int64).reshape(len(keys), 2),
            "counts": np.array([self._rows[key] for key in keys], dtype=np.float64).reshape(
                len(keys), _COLUMNS
            ),
            "jitter": generator_state(self._jitter),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        from mpidcl.randomness import load_generator_state

        pairs = zip(state["keys"], state["counts"], strict=True)
        self._rows = {(int(k[0]), int(k[1])): [float(v) for v in row] for k, row in pairs}
        load_generator_state(self._jitter, state["jitter"])
