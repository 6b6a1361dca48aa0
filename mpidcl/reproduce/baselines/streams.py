"""The streams that methods are compared on, and ways of sharing, as `--set` values for the example files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mpidcl.errors import ExperimentError
from mpidcl.reproduce.baselines.methods import CIFAR10, CIFAR100, MNIST, Method, Settings

SEEDS = tuple(range(10))
AGENTS = 4
"""Of a networked run, on a ring."""


class Cell(NamedTuple):
    """A method on a stream with a buffer of so many rows (0: it has none) under one way of sharing."""

    stream: str
    sharing: str
    method: str
    buffer: int

    @property
    def label(self) -> str:
        """`derpp-200`, `si`."""
        return f"{self.method}-{self.buffer}" if self.buffer else self.method


@dataclass(frozen=True)
class Stream:
    """A split data set. `sets`: what differs from the example files; `quick`: what makes a run short."""

    words: str
    dataset: str
    settings: Settings
    sets: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("stream.train_per_class=500", "stream.test_per_class=200")
    tasks: int = 5
    epochs: int = 1


_RESNET = (
    'model={kind = "resnet18"}',
    "learning.batch=32",
    "evaluation.every=50",
    'stream.augment=["crop", "flip"]',
)
_SHORT = ("stream.train_per_class=50", "stream.test_per_class=50", "model.width=8", "learning.epochs=2")
STREAMS: dict[str, Stream] = {
    "split-mnist": Stream("Split MNIST", "mnist", MNIST),
    "split-fashion": Stream("Split Fashion-MNIST", "fashion-mnist", MNIST),
    "split-cifar10": Stream("Split CIFAR-10", "cifar10", CIFAR10, _RESNET, _SHORT, epochs=50),
    "split-cifar100": Stream(
        "Split CIFAR-100",
        "cifar100",
        CIFAR100,
        (*_RESNET, "stream.tasks=10", "stream.classes_per_task=10"),
        _SHORT,
        tasks=10,
        epochs=50,
    ),
    "split-digits": Stream("Split digits", "digits", MNIST, quick=()),
}
"""Digits need no files, and are what `--quick` takes where MNIST is not there."""

PASS = "every = '1 epochs', from_task = 0"
SHARING: dict[str, tuple[str, str]] = {
    "single": ("one agent", ""),
    "alone": ("alone", ""),
    "parameters": (
        "parameters",
        "{kind = 'parameters', parts = 'all', when = 'task start', every = '100 tasks', from_task = 0},"
        f" {{kind = 'parameters', parts = 'all', when = 'after', {PASS}}}",
    ),
    "data": ("data", f"{{kind = 'data', when = 'after', {PASS}, choose = 'class-needs'}}"),
}
"""Name -> words, and the exchange; all but "single" are of AGENTS agents on a ring."""
VALIDATED = 0.05
"""Share of an agent's rows that is not trained on: by it an agent finds which classes it should ask for."""
NETWORKED = tuple(name for name in SHARING if name != "single")


def stream_of(name: str) -> Stream:
    """The stream. Raises ExperimentError for a name that is not known."""
    if name not in STREAMS:
        raise ExperimentError(f"--streams should be of {', '.join(STREAMS)}. Found {name}")
    return STREAMS[name]


def stream_sets(name: str, quick: bool) -> list[str]:
    """`--set` values of a stream."""
    stream = stream_of(name)
    epochs = [f"learning.epochs={stream.epochs}"] if stream.epochs > 1 else []
    return [f"stream.dataset={stream.dataset}", *stream.sets, *epochs, *(stream.quick if quick else ())]


def memory_sets(method: Method, buffer: int, tasks: int) -> list[str]:
    """`--set` values of a buffer of so many rows; of the methods that fill theirs task by task a share."""
    if method.memory == "buffer":
        return [f"memory.capacity={buffer} rows"]
    return [f"memory.capacity={buffer // tasks} rows per task"] if method.memory == "tasks" else []


def sharing_sets(name: str, sharing: str, quick: bool) -> list[str]:
    """`--set` values of agents on a ring, each with its part of the rows of every class.

    It takes AGENTS times as many passes over them, and so makes about as many steps as one with all rows.
    Before the first step those that average average once: nets with nothing in common have no useful mean.
    """
    if sharing == "single":
        return []
    passes = 2 if quick else stream_of(name).epochs * AGENTS
    exchange = SHARING[sharing][1]
    return [
        f"agents={AGENTS}",
        "network.topology=ring",
        "stream.draw=iid",
        f"learning.epochs={passes}",
        f"stream.validation_share={VALIDATED}",
        f"exchange=[{exchange}]",
    ]
