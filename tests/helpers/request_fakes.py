"""Lives that ask all that a driver answers, in a random order; what they hear changes what they say."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import numpy as np

from mpidcl.network.frames.message import Message
from mpidcl.network.requests import Combine, Compare, Gather, Meet, Outgoing, Post, Row, Take
from mpidcl.network.schedule.topology import Topology

SIZES = (0, 1, 700, 9000, 60_000)
"""Bytes of arrays: none, inside of heads, eager messages, large ones."""


def script(network: Topology, seed: int, steps: int = 12) -> list[tuple[Any, ...]]:
    """Steps that all agents go through, each with its part. Nobody waits for what comes later."""
    rng = np.random.default_rng(seed)
    found: list[tuple[Any, ...]] = []
    ahead: list[list[tuple[int, int, int]]] = []
    posted: list[int] = []
    numbers: Counter[int] = Counter()
    for step in range(steps):
        kind = rng.choice(["meet", "send", "hear", "post", "take", "gather", "compare"])
        if kind in ("meet", "send") and not (kind == "meet" and ahead):
            frames = []
            for link in network.links:
                for _ in range(rng.integers(0, 4)):
                    frames.append((link.index, numbers[link.index], int(rng.choice(SIZES))))
                    numbers[link.index] += 1
            found.append((kind, step, frames))
            ahead += [frames] if kind == "send" else []
        elif kind == "hear" and ahead:
            found.append(("hear", step, ahead.pop(0)))
        elif kind == "post" and len(posted) < 3:
            pairs = {(s, t) for s in range(network.agents) for t in range(network.agents)}
            sizes = {pair: int(rng.choice(SIZES)) for pair in sorted(pairs) if rng.random() < 0.4}
            found.append(("post", step, sizes, int(rng.choice([0, 1, 3, 200])), bool(rng.random() < 0.5)))
            posted.append(step)
        elif kind == "take" and posted:
            found.append(("take", posted.pop(int(rng.integers(len(posted))))))
        elif kind == "gather":
            found.append(("gather", step, None if rng.random() < 0.5 else int(rng.integers(network.agents))))
        elif kind == "compare":
            found.append(("compare", step, bool(rng.random() < 0.5)))
    found += [("hear", steps, frames) for frames in ahead]
    return found + [("take", number) for number in posted]


class Talker:
    """One agent of such a script; `state` is a checksum of all that it has heard."""

    def __init__(self, agent: int, network: Topology) -> None:
        self.agent, self.network, self.state = agent, network, agent
        self.open: dict[int, Post] = {}

    def bytes(self, size: int, *words: int) -> Any:
        return np.random.default_rng([self.state, *words]).integers(0, 256, size, np.uint8)

    def note(self, *arrays: Any) -> None:
        for array in arrays:
            self.state = zlib.crc32(np.ascontiguousarray(array).data, self.state)

    def live(self, steps: list[tuple[Any, ...]]) -> Any:
        for kind, *about in steps:
            yield from getattr(self, kind)(*about)
        return self.state

    def meet(self, step: int, frames: Any, out: bool = True, back: bool = True) -> Any:
        links = self.network.links
        outgoing = tuple(
            Outgoing(links[i], n, ((0, Message("m", {"n": n}, {"a": self.bytes(size, i, n)})),))
            for i, n, size in frames
            if out and links[i].source == self.agent
        )
        incoming = tuple((links[i], n) for i, n, _ in frames if back and links[i].target == self.agent)
        reply = yield Meet(f"step {step}", 0, outgoing, incoming, copied=out and not back)
        assert [e[0][1].scalars["n"] for e in reply] == [n for _, n in incoming]
        self.note(*(entries[0][1].arrays["a"] for entries in reply))
        if out and not back:
            for frame in outgoing:
                frame.entries[0][1].arrays["a"][:] = 0  # it is a copy that travels

    def send(self, step: int, frames: Any) -> Any:
        yield from self.meet(step, frames, back=False)

    def hear(self, step: int, frames: Any) -> Any:
        yield from self.meet(step, frames, out=False)

    def post(self, step: int, sizes: Any, words: int, planned: bool) -> Any:
        out = {t: self.bytes(size, t) for (s, t), size in sizes.items() if s == self.agent}
        into = {s: np.ones(size, np.uint8) for (s, t), size in sizes.items() if t == self.agent}
        told = np.full(words, self.state, np.int64)
        self.open[step] = Post(f"step {step}", step, told, out, into, planned)
        assert (yield self.open[step]) == ()
        told[:] = -1

    def take(self, number: int) -> Any:
        told = (yield Take(f"take of {number}", number)).told
        post = self.open.pop(number)
        assert told.shape == (self.network.agents, post.told.size)
        self.note(told, *(post.into[source] for source in sorted(post.into)))

    def gather(self, step: int, to: int | None) -> Any:
        for array in (yield Gather(f"step {step}", step, self.bytes(50 + self.agent), to)):
            self.note(array)

    def compare(self, step: int, gram: bool) -> Any:
        owners = tuple(range(self.network.agents))
        row = Row(self.agent, self.bytes(900).astype(np.float32), self.bytes(2).astype(np.float32))
        compared = yield Compare(f"step {step}", step, owners, (row,), gram)
        assert compared.gram.shape == ((len(owners), len(owners)) if gram else (0, 0))
        out = np.empty(900, np.float32)
        yield Combine(f"step {step}", step, np.cos(compared.facts.sum(1, dtype=np.float64)), out)
        self.note(compared.gram, compared.facts, out)


def talk(network: Topology, seed: int, agents: Any = None) -> dict[int, Any]:
    """The lives of these agents (all of them) in the script of that seed."""
    steps = script(network, seed)
    agents = range(network.agents) if agents is None else agents
    return {agent: Talker(agent, network).live(steps) for agent in agents}
