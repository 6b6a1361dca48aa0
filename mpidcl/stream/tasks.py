"""What a learner is given: the shape of a stream, rows of a data set gathered on demand, and tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.shape import Meanings

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Answers = NDArray[Any]
"""What rows mean: int64 labels [n], or float32 numbers [n, ...]."""
Domain = Callable[[Floats], Floats]
Incremental = Literal["task", "class", "domain"]


@dataclass(frozen=True, slots=True)
class StreamShape:
    """What a model must fit, known without any data file.

    `input_shape` is (channels, height, width). `heads` is the number of output heads: one per task when
    the stream is task-incremental, else one for all; each has `classes_per_head` outputs. The first
    `joint_tasks` tasks are learned together, all agents with the same rows where they are `joint_shared`.
    `augment`: how training images are changed whenever they are used, of "crop" and "flip". `meanings` gives
    the class for which each output stands, {"output 3 of head 0": "class 7 of mnist"}: neighbours compare it
    before they average heads. None: their outputs are taken to mean the same.
    """

    input_shape: tuple[int, ...]
    heads: int
    classes_per_head: int
    incremental: Incremental = "task"
    joint_tasks: int = 0
    joint_shared: bool = False
    augment: tuple[str, ...] = ()
    meanings: Callable[[], Meanings] | None = field(default=None, repr=False, compare=False)


def as_answers(y: Answers) -> Answers:
    """y [n, ...] in the type that rows keep it in: whole numbers as int64, others as float32."""
    return np.asarray(y, dtype=np.int64 if np.asarray(y).dtype.kind in "biu" else np.float32)


class TaskRows(Protocol):
    """Rows of a task, gathered or made when they are asked for."""

    def __len__(self) -> int: ...

    @property
    def y(self) -> Answers:
        """What they mean [n, ...], as `as_answers` keeps it."""
        ...

    def x(self) -> Floats:
        """float32 [n, *input_shape], a fresh C-contiguous array at each call."""
        ...

    def part(self, chosen: slice | Indices) -> TaskRows:
        """Some of the rows; nothing is gathered yet."""
        ...


class Rows:
    """Rows of a data set: only their indices are held, the pixels are gathered when asked for.

    pixels [N, *input_shape]: uint8 pixels of the whole data set, usually a memory map
    index [n]: which rows these are
    y [n, ...]: int64 labels inside the head, or float32 numbers of a regression
    maximum: the pixel value that becomes 1.0
    domain: changes the gathered rows, for domain-incremental streams
    """

    __slots__ = ("_domain", "_maximum", "_pixels", "index", "y")

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        index: Indices,
        y: Answers,
        maximum: float = 255.0,
        domain: Domain | None = None,
    ) -> None:
        if len(index) != len(y):
            raise ValueError(f"there should be one label per row. Found {len(y)} for {len(index)} rows.")
        self._pixels, self._maximum, self._domain = pixels, maximum, domain
        self.index: Indices = np.asarray(index, dtype=np.int64)
        self.y: Answers = as_answers(y)

    def __len__(self) -> int:
        return len(self.index)

    def part(self, chosen: slice | Indices) -> Rows:
        """Some of the rows; nothing is gathered yet."""
        return Rows(self._pixels, self.index[chosen], self.y[chosen], self._maximum, self._domain)

    def x(self) -> Floats:
        """float32 [n, *input_shape] in 0..1, a fresh C-contiguous array at each call."""
        # A plain array first: the class of a memory map would travel through arithmetic into every batch.
        scaled = np.asarray(self._pixels)[self.index].astype(np.float32)
        scaled /= np.float32(self._maximum)
        return scaled if self._domain is None else np.ascontiguousarray(self._domain(scaled))


@dataclass(frozen=True, slots=True)
class Task:
    """One task of one agent.

    `classes` are class ids of `dataset` (oracle information: methods that use them say so); `labels` are the
    outputs of head `head` that stand for them: 0 .. k-1 in this order unless the stream says otherwise.
    `held_back` gives the rows that any task of the agent validates on, as this task sees them.
    """

    index: int
    dataset: str
    classes: tuple[int, ...]
    train: TaskRows
    validation: TaskRows
    test: TaskRows
    head: int
    labels: tuple[int, ...] = ()
    held_back: Callable[[], TaskRows] | None = None

    def __post_init__(self) -> None:
        if not self.labels:
            object.__setattr__(self, "labels", tuple(range(len(self.classes))))

    def never_trained(self) -> TaskRows:
        """Rows that must not be learned from, whoever sends them; their labels mean nothing.

        Of a stream that does not say what its other tasks hold back: the task's own validation rows.
        """
        return self.validation if self.held_back is None else self.held_back()
