"""The memory of a parallel stream: rows of finished tasks, the same number of each class.

Rule of the public streams of parallel continual learning (Lyu et al., "Elastic Multi-Gradient Descent for
Parallel Continual Learning", arXiv 2401.01054): the budget stays the same, so the quota of a class shrinks as
tasks end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options
from mpidcl.experiment.units import Capacity
from mpidcl.memory.buffer import SEQUENCE, Column, Storage, check_room
from mpidcl.memory.memory import Keeping
from mpidcl.randomness import generator_state, load_generator_state
from mpidcl_kernels.base.types import View
from mpidcl_kernels.gather import gather_rows, insert_rows

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


class ClassQuota(Keeping):
    """Which rows a `QuotaMemory` keeps; it decides when a task ends, not row by row as a `Policy` does."""

    takes_rows = "the rows of a task when it ends"

    class Options(Options):
        """How many rows of a class may stay."""

        pool_share: float = Field(
            default=0.5, gt=0, le=1, description="most rows of one class, as a share of the capacity"
        )
        shrink: bool = Field(
            default=True,
            description="true: the classes of finished tasks share the whole capacity, and give rows back as "
            "more tasks end. false: each class has its final share from the start",
        )
        keep_originals: bool = Field(
            default=True, description="keep the pixels as they came, to see how far editing has moved them"
        )

    def __init__(self, options: ClassQuota.Options) -> None:
        self.options = options

    def quota(self, budget: int, classes: int, finished: int) -> int:
        """Rows that each of `classes` may keep of a budget when the tasks of so many of them have ended."""
        sharing = finished if self.options.shrink else classes
        return max(1, min(budget // sharing, int(budget * self.options.pool_share)))


class Passes:
    """The sampler: shuffled passes over slots, one after the other. `rng` shuffles."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.order: Indices = np.empty(0, np.int64)
        """What the pass still has to give."""

    def take(self, count: int, rows: Callable[[], Indices]) -> Indices:
        """The next `count` slots, at most as many as there are in `rows()`; none is twice in them.

        Where a pass ends inside, a new one fills up with other slots; those of its slots that the last one
        still had to give come after these.
        """
        if len(self.order) < count:
            rest, fresh = self.order, self._rng.permutation(rows())
            first = fresh[~np.isin(fresh, rest)][: count - len(rest)]
            self.order = np.concatenate([rest, first, fresh[~np.isin(fresh, first)]])
        taken, self.order = self.order[:count], self.order[count:]
        return taken

    def restart(self) -> None:
        """Begin a new pass: the rows are others."""
        self.order = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class MemoryBatch:
    """Copies of some rows: their slots `index [m]`, x [m, *shape], labels y [m] and tasks [m].

    `generation [m]` says which row each slot held, by its arrival; an edited row finds its slot by it.
    """

    index: Indices
    generation: Indices
    x: Floats
    y: Indices
    task: Indices


class QuotaMemory:
    """At most `budget` rows of finished tasks, as many of each class.

    budget: rows for all classes together; classes: how many classes there will ever be; shape: of one row;
    rng: decides what stays and the order of batches. Raises ExperimentError for a budget below one row per
    class.
    """

    Options = ClassQuota.Options

    def __init__(
        self,
        options: ClassQuota.Options,
        budget: int,
        classes: int,
        shape: Sequence[int],
        rng: np.random.Generator,
    ) -> None:
        _check_room(budget, classes)
        self.options, self.budget, self.classes, self.rng = options, budget, classes, rng
        pixels = ("x", "original") if options.keep_originals else ("x",)
        columns = [Column(name, "float32", tuple(shape)) for name in pixels]
        columns += [Column(name, "int64") for name in ("y", "task", "age")]
        self._shape, self._pixels = tuple(shape), pixels
        self._storage, self._policy, self._passes = Storage(columns, budget), ClassQuota(options), Passes(rng)
        self._used = np.zeros(budget, bool)
        self._seen = 0
        self._finished: Indices = np.empty(0, np.int64)

    def __len__(self) -> int:
        return int(self._used.sum())

    @property
    def rows(self) -> Indices:
        """Slots [m] that hold a row, in order."""
        return np.flatnonzero(self._used)

    # --- the end of a task ------------------------------------------------------------------------

    def quota(self, finished_classes: int) -> int:
        """Rows that each class may keep when the tasks of so many classes have ended."""
        return self._policy.quota(self.budget, self.classes, finished_classes)

    def finish(
        self, task: int, x: Floats, y: Indices, classes: Sequence[int], quota: int | None = None
    ) -> int:
        """Take rows x [n, *shape] in 0..1 with labels y [n] of a task that has ended; returns how many stay.

        `classes` are the labels of the task. Every class in memory, old or new, keeps a random quota of its
        rows, in its slot: `quota`, or that of the classes in this memory. The order of batches is drawn anew.
        Raises ValueError, before anything has changed, for labels outside `classes`, classes whose task has
        ended before and rows of another shape.
        """
        self._check(x, y, classes)
        self._finished = np.concatenate([self._finished, np.asarray(classes, np.int64)])
        quota = self.quota(len(self._finished)) if quota is None else quota
        self.shrink(quota)
        chosen = choose(y, classes, quota, self.rng)
        slots = np.flatnonzero(~self._used)[: len(chosen)]
        count = len(chosen)
        rows: dict[str, View] = dict.fromkeys(self._pixels, gather_rows(np.asarray(x, np.float32), chosen))
        rows |= {"y": y[chosen], "task": np.full(count, task), "age": np.zeros(count, np.int64)}
        self._storage.put(slots, self._seen, rows)
        self._seen += count
        self._used[slots] = True
        return count

    def shrink(self, quota: int) -> None:
        """Every class keeps a random `quota` of its rows. The order of batches is drawn anew."""
        rows = self.rows
        labels = self._storage["y"][rows]
        kept = rows[choose(labels, np.unique(labels).tolist(), quota, self.rng)]
        self._used[:] = False
        self._used[kept] = True
        self._passes.restart()

    def _check(self, x: Floats, y: Indices, classes: Sequence[int]) -> None:
        if x.shape != (len(y), *self._shape):
            raise ValueError(f"Rows should be {[len(y), *self._shape]}. Found {list(x.shape)}.")
        strange = np.setdiff1d(y, np.asarray(classes, np.int64))
        if len(strange):
            raise ValueError(
                f"Labels should be among {', '.join(map(str, classes))}, the classes of the task."
                f" Found {', '.join(map(str, strange))}."
            )
        again = np.intersect1d(self._finished, np.asarray(classes, np.int64))
        if len(again):
            raise ValueError(f"A class should come once. Found class {again[0]} again, whose task has ended.")

    # --- batches ----------------------------------------------------------------------------------

    def batch(self, count: int) -> MemoryBatch:
        """The next min(count, len(self)) rows of a shuffled pass over all rows, repeated for ever.

        Every row comes once in a pass. Where a pass ends inside a batch the next one fills it with other
        rows: no row is twice in a batch. Raises ValueError for an empty memory.
        """
        count = min(count, len(self))
        if count < 1:
            raise ValueError(
                "A batch should be taken from a memory with rows. Found none: no task has ended."
            )
        return self.take(self._passes.take(count, lambda: self.rows))

    # --- editing ----------------------------------------------------------------------------------

    def write(self, index: Indices, generation: Indices, x: Floats) -> int:
        """Put edited rows x [m, *shape] back; those whose slot holds another row by now are left out.

        Returns how many were written; each is one edit older. A slot is named once.
        """
        still = self._used[index] & (self._generation(index) == generation)
        insert_rows(self._storage["x"], np.asarray(x, np.float32)[still], index[still])
        self._storage["age"][index[still]] += 1
        return int(still.sum())

    def age(self, index: Indices) -> Indices:
        """Edits [m] of the rows in slots `index [m]` so far."""
        found: Indices = self._storage["age"][index]
        return found

    def original(self, index: Indices) -> Floats:
        """Rows [m, *shape] of slots `index [m]` as they came. Raises ValueError if they were not kept."""
        if not self.options.keep_originals:
            raise ValueError("Originals should be kept to be seen: set `memory.keep_originals = true`.")
        return np.asarray(gather_rows(self._storage["original"], index))

    def displacement(self, index: Indices) -> Floats:
        """L2 distance [m] of the rows in slots `index [m]` from their originals."""
        moved = gather_rows(self._storage["x"], index) - self.original(index)
        return np.asarray(
            np.sqrt(np.square(moved, dtype=np.float64).reshape(len(index), -1).sum(1)), np.float32
        )

    def take(self, index: Indices) -> MemoryBatch:
        """Copies of the rows in slots `index [m]`; the order of batches does not change."""
        stored = self._storage
        x, y, task = gather_rows(stored["x"], index), stored["y"][index], stored["task"][index]
        return MemoryBatch(index, self._generation(index), x, y, task)

    def _generation(self, index: Indices) -> Indices:
        return self._storage[SEQUENCE][index].astype(np.int64)

    # --- checkpoint -------------------------------------------------------------------------------

    def state(self) -> State:
        """Rows, originals, the rest of the pass, and the generator."""
        return {
            "budget": self.budget,
            "rows": self.rows,
            "seen": self._seen,
            "columns": self._storage.state(self.rows),
            "order": self._passes.order.copy(),
            "finished": self._finished.copy(),
            "rng": generator_state(self.rng),
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned. Raises ValueError when the budget differs."""
        if int(state["budget"]) != self.budget:
            raise ValueError(f"`budget` should be {self.budget} rows. Found {state['budget']} in the state.")
        rows = np.asarray(state["rows"], np.int64)
        self._used[:] = False
        self._used[rows] = True
        self._seen = int(state["seen"])
        self._storage.load(rows, state["columns"])
        self._passes.order = np.array(state["order"], np.int64)
        self._finished = np.array(state["finished"], np.int64)
        load_generator_state(self.rng, state["rng"])


def choose(y: Indices, classes: Sequence[int], quota: int, rng: np.random.Generator) -> Indices:
    """Positions in labels y [n] of at most `quota` random rows of each class, class by class."""
    parts = [rng.permutation(np.flatnonzero(y == label))[:quota] for label in classes]
    return np.concatenate([np.empty(0, np.int64), *parts])


def budget_rows(capacity: Capacity, classes: int, tasks: int, row_bytes: int) -> int:
    """Rows for all classes together that `memory.capacity` stands for, per class and per task added up.

    Raises ExperimentError for a share of the rows seen (the rows of a task end with it), and for a budget
    below one row per class.
    """
    if capacity.unit == "percent":
        raise ExperimentError(
            '`memory.capacity` should be rows or bytes with `policy = "class-quota"`, such as'
            f' "30 rows per class". Found "{capacity}".'
        )
    times = {"class": classes, "task": tasks, None: 1}[capacity.per]
    budget = capacity.rows(row_bytes, 0) * times
    _check_room(budget, classes)
    check_room(budget, row_bytes)
    return budget


def _check_room(budget: int, classes: int) -> None:
    if budget < classes:
        raise ExperimentError(
            f"`memory.capacity` should be at least {classes} rows, one for each class. Found room for"
            f' {budget}. Write it as rows per class, such as "5 rows per class".'
        )
