"""A replay buffer for training loops of your own: one over all MPI ranks, or one in this process.

with GlobalReplay(MPI.COMM_WORLD, {"x": ("float32", (3, 32, 32)), "y": "int64"}, "10000 rows", 8) as replay:
    for x, y in batches:
        rows, count = replay.wait()         # drawn one step ago from all ranks; they came while you trained
        replay.push({"x": x, "y": y})       # every rank at every step; None without rows
        ...                                 # train on x, y and rows["x"], rows["y"]
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.arrays import Placed
from mpidcl.base.closing import Closing
from mpidcl.errors import ReplayError
from mpidcl.experiment.units import Capacity
from mpidcl.memory.buffer import Column
from mpidcl.memory.replay import files, loading
from mpidcl.memory.replay.given import Given, Rows, host, hosted, is_patience, settings_of
from mpidcl.memory.replay.nearest import nearest
from mpidcl.memory.replay.settings import Declared, Settings, first_difference
from mpidcl.memory.replay.shared import SharedReplay
from mpidcl.model.polled import Hung, Network, hang_in
from mpidcl.network.polls import CHOICES, Progress
from mpidcl.network.requests import Asking, Gather
from mpidcl_kernels import draws, gather, slots
from mpidcl_kernels.nearest import Metric

if TYPE_CHECKING:
    from mpidcl.network.mpi.asking import MpiRequests

__all__ = ["Column", "Found", "GlobalReplay", "Replay", "Stats"]

T = TypeVar("T")


class Found(NamedTuple):
    """The k nearest rows of q queries: columns [q, k, *shape], score [q, k], and the rank that holds each.

    score: cosines, largest first, or distances, smallest first. rank: -1 where fewer than k rows are stored.
    """

    rows: Rows
    score: NDArray[np.float64]
    rank: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stats:
    """What a buffer has done so far, on this rank.

    rows: held here now, of `room`. push_s, wait_s: seconds in all calls; wait_p99_s: of the last 1,000;
    late_s: of them until the slowest rank had come to the same step.
    """

    steps: int
    rows: int
    room: int
    sent_rows: int
    sent_bytes: int
    messages: int
    push_s: float
    wait_s: float
    wait_p99_s: float
    late_s: float


class Replay(Closing):
    """A replay buffer in one process. `GlobalReplay` on one rank gives the same rows.

    columns: {"x": ("float32", (3, 32, 32)), "y": "int64"}. capacity: "10000 rows", "2 GiB", "10 %" (of
    `data_rows` rows), "20 rows per class". draw: rows of each draw, or several draws that are independent:
    (8, 8). policy: "reservoir", "candidate" (accept = c / b), "class-balanced", "fifo", with its options.
    label: the column of class numbers below `classes`, the number of classes. With `classes` each has a room
    of its own, unless the policy is class-balanced. balanced: draws are split evenly over the classes.
    edits: columns of stored rows that `push` may change.
    Rows are stored as they are pushed, and drawn by chance alone from `seed` and the number of the step.

    Raises ReplayError for what does not fit together.
    """

    _ranks, _rank = 1, 0

    def __init__(
        self,
        columns: Declared | Sequence[Column],
        capacity: str | Capacity,
        draw: int | Sequence[int],
        *,
        policy: str = "reservoir",
        label: str | None = None,
        classes: int | None = None,
        balanced: bool = False,
        data_rows: int | None = None,
        edits: Sequence[str] = (),
        seed: int = 0,
        **options: object,
    ) -> None:
        settings = settings_of(
            columns, capacity, draw, policy, options,
            label=label, classes=classes, balanced=balanced, data_rows=data_rows,
            edits=edits, seed=seed,
        )  # fmt: skip
        self._open(settings)

    def _open(self, settings: Settings) -> None:
        draws.warm()
        gather.warm()
        slots.warm()
        self._shared = SharedReplay(settings, self._ranks, self._rank)
        self._names = [column.name for column in settings.columns]
        self._push_s = self._wait_s = 0.0
        self._waits: deque[float] = deque(maxlen=1000)
        self._closed = False

    # --- a step -----------------------------------------------------------------------------------

    def push(self, rows: Given | None, edits: Given | None = None) -> None:
        """Offer rows, one array [n, *shape] for each column (NumPy or torch), and draw for the next `wait`.

        Every rank calls it at every step, with None where it has no rows. Arrays are copied. What was drawn
        at the last push is dropped where nobody has waited for it. `edits`: of the columns that were declared
        so, new values [count, *shape] for the rows that `wait` gave last; they go to the ranks that hold
        these rows, and draws of the next push see them. Raises ReplayError, before anything has happened, for
        rows that are not as declared.
        """
        began = time.perf_counter()
        given, changed = hosted("rows", rows), hosted("edits", edits)
        self._do(self._shared.push(given, edits=changed))
        self._push_s += time.perf_counter() - began

    def wait(self) -> tuple[Rows, int]:
        """The rows [count, *shape] that this rank drew at its last push, and how many they are.

        They belong to the caller, and stay as they are for as long as he holds them. Of several draws they
        come one after the other. They are fewer than asked for while there are not enough rows: none at the
        first two steps. Rows of one draw come in the order of the ranks that hold them, which is no random
        order: shuffle them before a draw is split. Raises ReplayError where nothing was pushed since.
        """
        began = time.perf_counter()
        drawn = self._do(self._shared.wait())
        rows = drawn.columns(self._names, self._shared.blocks)
        self._waits.append(time.perf_counter() - began)
        self._wait_s += self._waits[-1]
        return rows, drawn.rows

    def nearest(self, queries: Placed | None, k: int, column: str, metric: Metric = "cosine") -> Found:
        """The k rows of the whole buffer whose `column` is nearest to each of `queries` [q, *shape].

        Every rank calls it, with queries of its own or None. metric: "cosine" or "euclidean". Among equal
        scores the row of the lower rank comes first.
        """
        given = None if queries is None else host("`queries`", queries)
        found = self._do(nearest(self._shared, given, k, column, metric))
        rows = {name: found.block[name] for name in self._names}
        shaped = {name: v.reshape(*found.score.shape, *v.shape[1:]) for name, v in rows.items()}
        return Found(shaped, found.score, found.owner)

    def sizes(self) -> NDArray[np.int64]:
        """Rows on each rank [ranks], or [ranks, classes] where draws are balanced, as they told last."""
        sizes = self._shared.sizes
        return sizes.copy() if self._shared.settings.balanced else sizes[:, 0].copy()

    def __len__(self) -> int:
        return len(self._shared.share)

    @property
    def step(self) -> int:
        """Pushes so far."""
        return self._shared.step

    def stats(self) -> Stats:
        """What it has done so far, on this rank."""
        share, (sent, messages) = self._shared.share, self._sent()
        last = np.percentile(self._waits, 99) if self._waits else 0.0
        return Stats(
            self.step, len(share), int(share.rooms.sum()), self._shared.sent_rows, sent, messages,
            self._push_s, self._wait_s, float(last), self._shared.late_s,
        )  # fmt: skip

    # --- a checkpoint, and the end ------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the buffer to `folder`, one file for each rank; every rank calls it.

        The folder holds one complete buffer at any time: this one when the call returns. Raises ReplayError,
        on every rank, when one of them could not write.
        """
        self._do(files.save(self._shared, Path(folder)))

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote, on as many ranks or on another number; every rank calls it.

        On as many everything is as it was, what was drawn and not waited for included. On another number rows
        are dealt anew, and the next `wait` has none. Raises ReplayError, on every rank, for a folder without
        a complete buffer, or with one of other settings.
        """
        self._do(loading.load(self._shared, Path(folder)))

    def close(self) -> None:
        """The end of this rank's steps; every rank calls it. Others that still go on are served."""
        if not self._closed:
            try:
                self._do(self._shared.finish())
            finally:
                self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise ReplayError(
                f"A buffer should be open to be used. Found one that was closed at step {self.step}."
            )

    def _do(self, work: Asking[T]) -> T:
        """Nobody is asked where there is one rank."""
        self._check_open()
        try:
            next(work)
        except StopIteration as stop:
            done: T = stop.value
            return done
        raise AssertionError("one rank alone asks nobody")

    def _sent(self) -> tuple[int, int]:
        return 0, 0


class GlobalReplay(Replay):
    """One replay buffer over all ranks of `comm`: every rank holds a share, and draws from all shares.

    comm: an mpi4py communicator. All else as for `Replay`, the same on all ranks: `capacity` is that of all
    ranks together, or of each with `per_rank`. deadline: seconds without any arrival until a DeadlockError
    names the ranks that did not come. progress: who moves rows while a step computes, where MPI moves nothing
    by itself: "none", "hooks" (see `poll_in`), "thread". "auto": hooks from `poll_in` on; before it a thread
    between several machines, and nobody on one. The rows are the same in any case.
    Constructing and closing it is collective.
    """

    def __init__(
        self,
        comm: Any,
        columns: Declared | Sequence[Column],
        capacity: str | Capacity,
        draw: int | Sequence[int],
        *,
        policy: str = "reservoir",
        label: str | None = None,
        classes: int | None = None,
        balanced: bool = False,
        data_rows: int | None = None,
        edits: Sequence[str] = (),
        seed: int = 0,
        per_rank: bool = False,
        deadline: float = 900.0,
        progress: Progress = "auto",
        **options: object,
    ) -> None:
        from mpidcl.network.mpi.asking import MpiRequests

        patient = is_patience(deadline)
        self._requests: MpiRequests = MpiRequests(comm, deadline if patient else 900.0, posts=True)
        self._rank, self._ranks = self._requests.rank, self._requests.size
        settings, error = None, ""
        try:
            settings = settings_of(
                columns, capacity, draw, policy, options, label=label, classes=classes, balanced=balanced,
                data_rows=data_rows, edits=edits, seed=seed, per_rank=per_rank,
            )  # fmt: skip
            self._open(settings)
            self._check(progress, deadline)
        except Exception as failed:  # a rank that fails here must not leave the others waiting
            kind = "" if isinstance(failed, ReplayError) else f"{type(failed).__name__}: "
            error = f"{kind}{failed}"
        self._greet(settings, error)
        self._help(progress)

    def _help(self, progress: Progress) -> None:
        """Begin what moves rows. A thread needs nobody; hooks cost less, but somebody has to hang them.

        On one machine rows need no thread: they are copied once, whenever their reader looks.
        """
        self._may_change, self.progress = progress == "auto" and self._ranks > 1, progress
        if progress == "auto":
            across = len(set(self._requests.hosts)) > 1 and not self._requests.no_threads()
            self.progress = "thread" if across else "none"
        if self.progress == "thread":
            self._requests.start_thread()

    def _check(self, progress: Progress, deadline: float) -> None:
        if not is_patience(deadline):
            raise ReplayError(f"`deadline` should be a number of seconds above 0. Found {deadline!r}.")
        if progress not in CHOICES:
            raise ReplayError(f"`progress` should be one of {', '.join(CHOICES)}. Found {progress!r}.")
        if progress == "thread" and (why := self._requests.no_threads()):
            raise ReplayError(why)

    def _greet(self, settings: Settings | None, error: str) -> None:
        """All ranks hear of each other's machine and settings. Raises ReplayError on all or on none."""
        words = {
            "host": socket.gethostname(),
            "error": error,
            "settings": settings.texts() if settings else {},
        }
        text = np.frombuffer(json.dumps(words).encode(), np.uint8)
        told = [
            json.loads(one.tobytes())
            for one in self._requests.ask(Gather("the start of the replay buffer", 0, text))
        ]
        self._requests.hosts = [one["host"] for one in told]
        for rank, one in enumerate(told):
            if one["error"]:
                raise ReplayError(f"rank {rank}: {one['error']}")
        assert settings is not None
        for rank, one in enumerate(told):
            differs = first_difference(told[0]["settings"], one["settings"])
            if differs is not None:
                name, first, other = differs
                raise ReplayError(
                    f"All ranks should have the same {name}. Found {first} on rank 0 and {other} on rank"
                    f" {rank}."
                )

    def poll(self) -> None:
        """Let rows on their way move on, where MPI moves nothing by itself; it waits for nothing."""
        self._requests.poll()

    def poll_in(self, network: Network) -> Hung:
        """Call `poll` between the layers of a torch module, forward and backward, every 0.3 ms at most.

        Only with "auto", in place of the thread that it may have begun, or with "hooks": else the module
        stays as it is. Nothing that it computes changes, and copies of it have no hooks. They go with
        `remove()` of what is returned, or with a `with` block of it, and do nothing after `close`.
        """
        if self._may_change:
            self._requests.end_thread()
            self.progress = "hooks"
        return hang_in(network, self._poll_open) if self.progress == "hooks" else Hung([])

    def _poll_open(self) -> None:
        if not self._closed:
            self._requests.poll()

    def close(self) -> None:
        """The end of this rank's steps; every rank calls it. Others that still go on are served."""
        if not self._closed:
            if self._requests.failed:  # the others may be anywhere
                self._closed = True
            else:
                super().close()
            self._requests.close()

    def _do(self, work: Asking[T]) -> T:
        self._check_open()
        try:
            request = next(work)
            while True:
                request = work.send(self._requests.ask(request))
        except StopIteration as stop:
            done: T = stop.value
            return done

    def _sent(self) -> tuple[int, int]:
        posts = self._requests.posts
        return (0, 0) if posts is None else posts.sent
