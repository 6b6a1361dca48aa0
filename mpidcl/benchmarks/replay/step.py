"""`mpidcl bench replay`: what one replay buffer across all ranks takes of a training step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from mpidcl.benchmarks.between_ranks import Measured, print_rows
from mpidcl.benchmarks.replay.rate import rate
from mpidcl.network.polls import MODES, Progress
from mpidcl.replay import GlobalReplay, Replay

STEP_S = 0.1
"""Of training: the depth of the network is chosen so that forward and backward work for so long."""
WIDTH, TRAINED = 256, 256
"""Of the network that is trained, and rows of its batch: a layer takes a millisecond or less."""
ROUNDS = 2
"""The modes take turns so often."""


class Size(NamedTuple):
    """Batches of `batch` rows of `shape` float32; each rank draws `draw` of `held` rows of all."""

    shape: tuple[int, ...]
    batch: int
    draw: int
    held: int
    steps: int

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return 4 * int(np.prod(self.shape))


SIZES = (
    Size((3, 224, 224), 56, 8, 400, 16),
    Size((64,), 56, 56, 100_000, 16),
)
LOCAL = (
    Size((64,), 256, 256, 1_000_000, 300),
    Size((3, 224, 224), 8, 8, 400, 60),
)


def steps(lines: Path | None = None) -> None:
    """Steps of STEP_S with `push` and `wait`, every way of progress in turn. Collective."""
    comm = MPI.COMM_WORLD
    training = Training(comm)
    rows = [row for size in SIZES for row in _in_turn(comm, size, training)]
    how = (
        f"a step trains for {1e3 * training.seconds:.0f} ms; medians over steps, of each the slowest rank;"
        " wait beyond the slowest peer"
    )
    print_rows(comm, f"one buffer across {comm.size} ranks", rows, lines, how)
    rate(comm, lines)


def alone(lines: Path | None = None) -> None:
    """One process alone, the first rank. Collective."""
    comm = MPI.COMM_WORLD
    rows = [_alone(size) for size in LOCAL] if comm.rank == 0 else []
    print_rows(comm, "one process: batches stored and drawn", rows, lines, "work of the process, best of 5")
    comm.Barrier()


class Training:
    """Forward and backward of a network of as many layers as take STEP_S on the first rank. Collective."""

    def __init__(self, comm: MPI.Intracomm) -> None:
        import torch

        torch.set_num_threads(1)
        self._x = torch.ones(TRAINED, WIDTH)
        depth = 10
        for _ in range(3):  # the first time memory is touched
            self.net = self._made(depth)
            self()
            began = time.thread_time()
            self()
            self.seconds = time.thread_time() - began
            depth = comm.bcast(max(2, round(depth * STEP_S / self.seconds)))

    @staticmethod
    def _made(depth: int) -> Any:
        from torch import nn

        return nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())])

    def __call__(self) -> None:
        """One step."""
        self.net(self._x).square().mean().backward()


def _in_turn(comm: MPI.Intracomm, size: Size, training: Training) -> Iterator[Measured]:
    """A row for every mode: of ROUNDS rounds, in each of which all take turns."""
    copies, found = [], {mode: _Spent([], [], [], []) for mode in MODES}
    sent = 0.0
    for _ in range(ROUNDS):
        copies += _copies(comm, size, training)
        for mode in MODES:
            sent = _between(comm, size, mode, training, found[mode])
    sent = comm.allreduce(sent, MPI.SUM) / comm.size
    transfer = _transfer(comm, int(sent))
    for mode, spent in found.items():
        wait, push, work = (_slowest(comm, part) for part in (_beyond(comm, spent), spent.push, spent.work))
        both = np.sort(wait + push)
        yield {
            "bench": "replay", "ranks": comm.size, "row_bytes": size.row_bytes, "draw": size.draw,
            "progress": mode, "wait_ms": float(np.median(wait)), "push_ms": float(np.median(push)),
            "p99_ms": float(both[-1 - len(both) // 100]), "share_pct": float(np.median(both)) / (10 * STEP_S),
            "work_ms": float(np.median(work)),
            "copies_ms": float(np.median(_slowest(comm, copies))),
            "sent_bytes": int(sent), "transfer_ms": transfer,
        }  # fmt: skip


class _Spent(NamedTuple):
    """Seconds of every step: when the rank came to `wait` and left it, in `push`, and of work in both."""

    came: list[float]
    left: list[float]
    push: list[float]
    work: list[float]


def _between(comm: MPI.Intracomm, size: Size, mode: Progress, training: Training, spent: _Spent) -> float:
    """Steps with one mode. Returns the bytes that this rank sends at a step."""
    x, columns = _batch(size), {"x": ("float32", size.shape)}
    clock = _clock(comm)
    with (
        GlobalReplay(
            comm, columns, f"{size.held} rows", size.draw, policy="candidate", accept=1 / 7, progress=mode
        ) as held,
        held.poll_in(training.net),
    ):
        while held.sizes().sum() < size.held:
            held.push({"x": x})
        held.wait()
        held.push({"x": x})
        before = held.stats()
        for _ in range(size.steps):
            training()
            came, worked = clock(), time.process_time()
            held.wait()
            left = clock()
            held.push({"x": x})
            spent.push.append(clock() - left)
            spent.came.append(came)
            spent.left.append(left)
            spent.work.append(time.process_time() - worked)
        after = held.stats()
        return (after.sent_bytes - before.sent_bytes) / size.steps


def _copies(comm: MPI.Intracomm, size: Size, training: Training) -> list[float]:
    """Seconds of work to copy by NumPy, between steps, as many rows as a step has to: those that leave this
    memory, those that come from other ranks, and those that are stored."""
    x = _batch(size).reshape(size.batch, -1)
    store = np.ones((size.held // comm.size, x.shape[1]), np.float32)
    block = np.ones((size.draw, x.shape[1]), np.float32)
    came, kept = size.draw * (comm.size - 1) // comm.size, size.batch // 7
    numbers, found = np.random.default_rng(0), []
    for _ in range(size.steps // 2):
        training()
        out, into = (numbers.permutation(len(store))[:rows] for rows in (size.draw, kept))
        began = time.process_time()
        np.take(store, out, 0, block, "clip")
        block[:came] = x[:came]
        store[into] = x[:kept]
        found.append(time.process_time() - began)
    return found


def _beyond(comm: MPI.Intracomm, spent: _Spent) -> NDArray[np.float64]:
    """Seconds [steps] that this rank waited after the last of all had come to its `wait`."""
    latest = np.empty(len(spent.came))
    comm.Allreduce(np.array(spent.came), latest, MPI.MAX)
    return np.maximum(0, np.array(spent.left) - latest)


def _slowest(comm: MPI.Intracomm, seconds: Any) -> NDArray[np.float64]:
    """Milliseconds [steps] of the slowest rank."""
    found = np.empty(len(seconds))
    comm.Allreduce(np.array(seconds), found, MPI.MAX)
    return 1e3 * found


def _clock(comm: MPI.Intracomm) -> Callable[[], float]:
    """A clock that says the same on all ranks, to half of the shortest way there and back. Collective."""
    ahead = 0.0
    for rank in range(1, comm.size):
        shortest = float("inf")
        for _ in range(30):
            if comm.rank == rank:
                began = time.perf_counter()
                theirs = comm.sendrecv(None, 0, source=0)
                ended = time.perf_counter()
                if ended - began < shortest:
                    shortest, ahead = ended - began, theirs - (began + ended) / 2
            elif comm.rank == 0:
                comm.recv(source=rank)
                comm.send(time.perf_counter(), rank)
    return lambda: time.perf_counter() + ahead


def _transfer(comm: MPI.Intracomm, size: int) -> float:
    """Milliseconds of `size` bytes to the next rank and as many from the one before, by MPI alone."""
    out, into = np.ones(size, np.uint8), np.ones(size, np.uint8)
    found = []
    for _ in range(7):
        comm.Barrier()
        began = time.perf_counter()
        comm.Sendrecv(out, (comm.rank + 1) % comm.size, recvbuf=into, source=(comm.rank - 1) % comm.size)
        found.append(time.perf_counter() - began)
    return float(np.median(_slowest(comm, found)))


def _batch(size: Size) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((size.batch, *size.shape), np.float32)


def _alone(size: Size) -> Measured:
    """Work of the process for a batch stored and a batch drawn."""
    x = _batch(size)
    held = Replay({"x": ("float32", size.shape)}, f"{size.held} rows", size.draw)
    while len(held) < size.held:
        held.push({"x": x})
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(size.steps):
            held.wait()
            held.push({"x": x})
        best = min(best, (time.process_time() - began) / size.steps)
    return {
        "bench": "replay alone", "row_bytes": size.row_bytes, "held": size.held,
        "batch": size.batch, "us": 1e6 * best, "rows_s": size.batch / best,
    }  # fmt: skip
