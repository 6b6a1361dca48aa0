"""The streams that are compared on, as `--set` values for the files in examples/emgd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

from mpidcl.errors import ExperimentError
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.emnist import EMNIST

MODES = ("class", "task")
SEEDS = (1234, 1235, 1236)
NUMBERS = (0, 1, 2)
"""Label sets, and timelines."""


class Place(NamedTuple):
    """Where methods meet: the same classes per task, the same starts, the same first weights and rows."""

    label_set: int
    timeline: int
    seed: int


class Group(NamedTuple):
    """A stream in one mode with so many remembered rows per class: what methods are compared within."""

    dataset: str
    mode: str
    memory: int

    def cell(self, method: str) -> Cell:
        """One method in it."""
        return Cell(*self, method)


class Cell(NamedTuple):
    """A method in a Group."""

    dataset: str
    mode: str
    memory: int
    method: str


@dataclass(frozen=True)
class Stream:
    """A data set with its example file. `starts`: name of its published timelines, None: they are drawn.

    `memory`: rows per class that the example file remembers, which are the published ones where there are
    any. `quick`: what makes a run of it short.
    """

    words: str
    file: str
    starts: str | None
    memory: int
    quick: tuple[str, ...]


STREAMS: dict[str, Stream] = {
    "emnist": Stream("PS-EMNIST", "ps-emnist", None, 5, ("stream.steps_per_task=60",)),
    "cifar100": Stream(
        "PS-CIFAR-100", "ps-cifar100", "cifar100", 30, ("stream.steps_per_task=10", "model.width=16")
    ),
    "tiny-imagenet": Stream(
        "PS-ImageNet-TINY", "ps-tiny", "tiny", 15, ("stream.steps_per_task=10", "model.width=16")
    ),
    "digits": Stream("digits", "quickstart", None, 10, ()),
}


def memory_words(dataset: str, memory: int) -> str:
    """`5 rows per class (as published)`, `50 rows per class (published: 5)`."""
    usual, published = STREAMS[dataset].memory, dataset in PUBLISHED
    if memory == usual:
        return f"{memory} rows per class{' (as published)' * published}"
    return f"{memory} rows per class ({'published' if published else 'in the example'}: {usual})"


PUBLISHED = ("emnist", "cifar100", "tiny-imagenet")
"""Streams of the publication; digits need no files."""


def stream_of(dataset: str) -> Stream:
    """The stream. Raises ExperimentError for a name that is not known."""
    if dataset not in STREAMS:
        raise ExperimentError(f"--datasets should be of {', '.join(STREAMS)}. Found {dataset}")
    return STREAMS[dataset]


def stream_sets(dataset: str, mode: str, place: Place, memory: int, quick: bool) -> list[str]:
    """`--set` values of one place on a stream, with `memory` rows per class.

    All agents train one model, so one agent gives the same.
    """
    stream = stream_of(dataset)
    values = [
        "agents=1",
        f"stream.incremental={mode}",
        f"stream.label_set={place.label_set}",
        f"seed={place.seed}",
        f"memory.capacity={memory} rows per class",
    ]
    if stream.starts is None or quick:
        values += ["stream.timeline=random", f"stream.timeline_seed={place.timeline}"]
    else:
        values.append(f"stream.timeline={stream.starts}-{place.timeline}")
    return values + list(stream.quick if quick else ())


def data_sets(dataset: str, split: str | None) -> list[str]:
    """Which files of EMNIST, as `--set` values; nothing for other data sets.

    `split`: "byclass", or "bymerge:test" for the test files alone; None: by class where its files are, else
    the split with the most classes of those that are here.
    """
    if dataset != "emnist":
        return []
    name, _, part = (split or _split_at_hand()).partition(":")
    return [f"stream.data.split={name}", f"stream.data.part={part or 'both'}"]


def _split_at_hand() -> str:
    here = [cast(EMNIST, form) for form in make("emnist").present()]
    best = max(here, key=lambda form: (form.split == "byclass", form.info.classes), default=None)
    return "byclass" if best is None else f"{best.split}:{best.part}"
