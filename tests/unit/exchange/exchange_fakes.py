"""A small learner and a network of exchanges driven by hand, leg by leg, in order of agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from mpidcl.exchange.base import Exchange, LinkUse, Neighbourhood, Received
from mpidcl.network.frames.frame import message_bytes

UNLIMITED = 2**62


class FakeProximal:
    reference: Any = None

    def __init__(self, learner, mu):
        self.mu = mu

    def set_reference(self, values):
        self.reference = values.copy()


class FakeCurvature:
    sums: Any = None

    def __init__(self, learner, strength):
        self.strength = strength

    def set_sums(self, information, weighted):
        self.sums = (information, weighted)


@dataclass
class FakeParameters:
    """A shared span followed by heads, which only move when they are asked for."""

    shared: np.ndarray
    heads: np.ndarray = field(default_factory=lambda: np.full(7, 5.0, np.float32))
    buffers: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def span(self, kind):
        assert kind in ("shared", "all")
        return slice(0, len(self.part(kind)))

    def part(self, kind):
        """Both spans are one array, as the flat parameters are."""
        return {"shared": self.shared, "all": self.flat}[kind]

    def __post_init__(self):
        self.flat = np.concatenate([self.shared, self.heads])
        size = len(self.shared)
        self.shared, self.heads = self.flat[:size], self.flat[size:]

    @property
    def segments(self):
        size = self.shared.size
        return (
            SimpleNamespace(name="encoder.weight", kind="shared", start=0, stop=size),
            SimpleNamespace(name="heads.block", kind="heads", start=size, stop=size + 7),
        )


class FakeModelLearner:
    """A learner for parameters exchanges: only its vectors are real."""

    def __init__(self, shared, fisher=None, buffers=()):
        self.parameters = FakeParameters(
            np.array(shared, np.float32), buffers=torch.tensor(list(buffers), dtype=torch.float32)
        )
        self.fisher_values = None if fisher is None else np.array(fisher, np.float32)
        self.terms: list[Any] = []
        weight = SimpleNamespace(shape=torch.Size([self.parameters.shared.size]))
        self.model = SimpleNamespace(named_parameters=lambda: [("encoder.weight", weight)])
        self.shape = SimpleNamespace(meanings=None)

    def host_view(self, kind):
        return self.parameters.part(kind)

    device_view = host_view  # on a CPU both are the parameters themselves

    def load_span(self, kind, values):
        assert kind == "shared"
        self.parameters.shared[:] = values

    def place(self, array):
        return array

    def fisher(self, parts="shared"):
        return self.fisher_values.copy()

    def add_term(self, term):
        self.terms.append(term)


def neighbourhoods(edges: list[tuple[int, int]], agents: int, seed: int = 0) -> list[Neighbourhood]:
    """Undirected graph: every edge is a link both ways."""
    near = {i: sorted({a + b - i for a, b in edges if i in (a, b)}) for i in range(agents)}
    degrees = {i: len(near[i]) for i in range(agents)}
    return [Neighbourhood(i, seed, tuple(near[i]), tuple(near[i]), degrees) for i in range(agents)]


RING = [(0, 1), (1, 2), (2, 3), (0, 3)]
STAR = [(0, 1), (0, 2), (0, 3)]


def complete(agents: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(agents) for b in range(a + 1, agents)]


def meet(
    exchanges: list[Exchange],
    task: int = 0,
    room: int = UNLIMITED,
    lost: tuple[tuple[int, int], ...] = (),
    number: int = 0,
) -> dict[tuple[int, int, int], Any]:
    """One meeting of all agents: ask, answer, settle. Messages are copied and their sizes checked.

    Returns every message by (source, target, leg). `lost` links carry nothing.
    """
    left = {(e.neighbourhood.agent, t): room for e in exchanges for t in e.neighbourhood.targets}
    sent: dict[tuple[int, int, int], Any] = {}

    def put(source, target, leg, message):
        if message is None or (source, target) in lost:
            return
        size = message_bytes(message)
        assert size <= left[source, target], "more than the room"
        left[source, target] -= size
        arrays = {name: array.copy() for name, array in message.arrays.items()}
        sent[source, target, leg] = type(message)(
            message.kind, dict(message.scalars), arrays, message.room, message.floats
        )

    for exchange in exchanges:
        exchange.begin_use(task)
        me = exchange.neighbourhood.agent
        for target in exchange.neighbourhood.targets:
            put(me, target, 0, exchange.ask(LinkUse(me, target, left[me, target], room, number)))
    for leg in range(1, exchanges[0].legs):
        asked = [(s, t, m) for (s, t, at), m in sorted(sent.items(), key=lambda i: i[0]) if at == leg - 1]
        for source, target, message in asked:
            link = LinkUse(target, source, left[target, source], 0, number)
            reply = exchanges[target].answer(link, message)
            assert reply is None or message_bytes(reply) <= message.room, "more than the asked room"
            put(target, source, leg, reply)
    last = exchanges[0].legs - 1
    for exchange in exchanges:
        me = exchange.neighbourhood.agent
        came = sorted((s, m) for (s, t, leg), m in sent.items() if t == me and leg == last)
        exchange.settle([Received(s, m) for s, m in came])
    return sent


class FakeTask:
    def __init__(self, index, classes, labels=None, dataset="shapes"):
        self.index, self.dataset, self.classes = index, dataset, tuple(classes)
        self.labels = tuple(labels or range(len(classes)))


class FakeDataLearner:
    """A learner for data exchanges: small images of global classes, a linear encoder per task.

    Every pixel is k / levels, so rows are told apart exactly. `received` collects what was handed over.
    """

    def __init__(self, agent, task_classes, rows=30, shape=(1, 3, 3), levels=255, dataset="shapes", seed=0):
        self.agent = agent
        self.seen = [FakeTask(u, classes, dataset=dataset) for u, classes in enumerate(task_classes)]
        most = max((len(c) for c in task_classes), default=2)
        self.shape = SimpleNamespace(
            input_shape=shape, heads=max(1, len(task_classes)), classes_per_head=most
        )
        random = np.random.default_rng([seed, agent])
        self._pools = [self._draw(task, rows, levels, random) for task in self.seen]
        self._validation = [self._draw(task, rows, levels, random) for task in self.seen]
        self._encoders = random.normal(size=(len(self.seen), int(np.prod(shape)), 6)).astype(np.float32)
        self._heads = random.normal(size=(len(self.seen), 6, most)).astype(np.float32)
        self.received: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self.capacity = 0
        self.test_was_touched = False

    def _draw(self, task, rows, levels, random):
        y = random.integers(0, len(task.classes), rows)
        classes = np.array(task.classes)[y]
        noise = random.integers(0, levels // 2, (rows, *self.shape.input_shape))
        level = (noise + (classes * levels // 25)[:, None, None, None]).clip(0, levels)
        return level.astype(np.float32) / np.float32(levels), y.astype(np.int64)

    @property
    def task(self):
        return len(self.seen) - 1

    def pool(self, u):
        return self._pools[u]

    def validation(self, u):
        return self._validation[u]

    def encoder_of(self, u):
        return u

    def features(self, x, u):
        return x.reshape(len(x), -1) @ self._encoders[u]

    def logits(self, x, u):
        return self.features(x, u) @ self._heads[u]

    def place(self, array):
        return torch.from_numpy(np.array(array))  # no NumPy array, as on a GPU

    def fetch(self, array):
        assert isinstance(array, torch.Tensor)
        return array.numpy()

    def set_received_capacity(self, rows_per_task):
        self.capacity = rows_per_task

    def receive_rows(self, u, x, y, reject_duplicates=False):
        self.rejects = reject_duplicates
        self.received.setdefault(u, []).append((x.copy(), y.copy()))
        return len(y)

    def class_of(self, row):
        """Global class of a pool row, found by its pixels."""
        for task, (x, y) in zip(self.seen, self._pools, strict=True):
            same = np.flatnonzero((x == row).all(axis=(1, 2, 3)))
            if len(same):
                return task.classes[y[same[0]]]
        return None
