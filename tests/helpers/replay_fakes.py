"""Agents that push rows whose payload says which rows they are, and check whatever they draw."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from mpidcl.experiment.units import Capacity
from mpidcl.memory.buffer import Column
from mpidcl.memory.replay.settings import Settings
from mpidcl.memory.replay.shared import SharedReplay

CLASSES = 6
COLUMNS = (Column("key", "<i8"), Column("x", "<f4", (3, 5)), Column("y", "<i8"), Column("crc", "<u4"))


def settings(capacity: str = "60 rows", draws: Any = (7,), **keys: Any) -> Settings:
    return Settings(COLUMNS, Capacity.parse(capacity), draws, **keys)


FORMS: dict[str, Settings] = {
    "reservoir": settings(),
    "fifo, two draws": settings("41 rows", (3, 4), policy="fifo"),
    "candidate per class": settings("9 rows per class", policy="candidate", label="y", classes=CLASSES),
    "balanced draws": settings("66 rows", label="y", classes=CLASSES, balanced=True),
    "class-balanced policy": settings(
        "40 rows", policy="class-balanced", label="y", classes=CLASSES, balanced=True
    ),
    "edited rows, two draws": settings("60 rows", (5, 3), edits=("x", "crc")),
}
"""Every way in which rows are kept and drawn."""


def made(keys: Any) -> dict[str, Any]:
    """Rows that hold nothing but what their key says, and a checksum of it."""
    keys = np.asarray(keys, np.int64)
    x = (keys[:, None, None] * np.arange(1, 16).reshape(3, 5) % 8191).astype(np.float32)
    crc = np.array([zlib.crc32(one.tobytes()) for one in x], np.uint32)
    return {"key": keys, "x": x, "y": keys % CLASSES, "crc": crc}


def batch(agent: int, step: int) -> dict[str, Any] | None:
    """Agents have unequal streams; agent 1 now and then brings nothing, or an empty batch."""
    count = 1 + (agent + step) % 4
    if agent == 1 and step % 3 == 0:
        return None if step % 2 else made([])
    return made([10**6 * agent + 10 * step + i for i in range(count)])


def edited(rows: dict[str, Any]) -> dict[str, Any]:
    """One more in every element of x, with a new checksum."""
    x = rows["x"] + np.float32(1)
    return {"x": x, "crc": np.array([zlib.crc32(one.tobytes()) for one in x], np.uint32)}


def check(rows: dict[str, Any], step: int) -> None:
    """No row is torn, also if it was edited, and none came with or after the batch of the step before."""
    want = made(rows["key"])
    edits = (rows["x"] - want["x"])[:, :1, :1]
    assert (edits >= 0).all()
    want["x"] += edits
    want["crc"] = np.array([zlib.crc32(one.tobytes()) for one in want["x"]], np.uint32)
    for name, column in want.items():
        assert np.array_equal(rows[name], column), name
    assert (rows["key"] % 10**6 // 10 <= step - 2).all()


class Life:
    """One agent; `digest` is a checksum of all that it has drawn."""

    def __init__(self, replay: SharedReplay) -> None:
        self.replay, self.digest, self.drawn = replay, 0, 0

    def steps(self, last: int) -> Any:
        replay = self.replay
        names = [column.name for column in COLUMNS]
        while replay.step < last:
            step = replay.step
            drawn = yield from replay.wait()
            rows = drawn.columns(names, replay.blocks)
            check(rows, step)
            for part in drawn.places:
                assert len(set(drawn.block["key"][part].tolist())) == len(part)
            self.drawn += drawn.rows
            self.digest = zlib.crc32(rows["crc"].tobytes(), self.digest)
            given = edited(rows) if replay.edits is not None and (step + replay.agent) % 3 else None
            yield from replay.push(batch(replay.agent, step), edits=given)
        yield from replay.settle()
        return self.digest


def lives(form: Settings, agents: int, states: Any = None) -> dict[int, Any]:
    """Of every agent; with `states` they go on from there."""
    found = {}
    for agent in range(agents):
        replay = SharedReplay(form, agents, agent)
        if states is not None:
            replay.load(states[agent])
        found[agent] = Life(replay)
    return found
