"""`mpidcl bench replay`: what one replay buffer across all ranks takes of a training step."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from mpidcl.benchmarks.between_ranks import Measured, print_rows
from mpidcl.benchmarks.replay_rate import rate
from mpidcl.replay import GlobalReplay, Replay

STEP_S = 0.1
"""Of training, counted as work of the process: a busy machine does not shorten it."""


class Size(NamedTuple):
    """Batches of `batch` rows of `shape` float32; each rank draws `draw` of `held` rows of all."""

    shape: tuple[int, ...]
    batch: int
    draw: int
    held: int
    steps: int


SIZES = (
    Size((3, 224, 224), 56, 8, 400, 30),
    Size((64,), 56, 56, 100_000, 30),
)
LOCAL = (
    Size((64,), 256, 256, 1_000_000, 300),
    Size((3, 224, 224), 8, 8, 400, 60),
)


def replay(lines: Path | None = None) -> None:
    """Steps of STEP_S with `push` and `wait` and an allreduce, then one process alone. Collective."""
    comm = MPI.COMM_WORLD
    rows = [_between(comm, size) for size in SIZES]
    how = "medians over steps, of each step the slowest rank"
    print_rows(comm, "one buffer across ranks, of a step of 100 ms", rows, lines, how)
    rate(comm, lines)
    alone = [_alone(size) for size in LOCAL] if comm.rank == 0 else []
    print_rows(comm, "one process: batches stored and drawn", alone, lines, "work of the process, best of 5")


def _between(comm: MPI.Intracomm, size: Size) -> Measured:
    x = _batch(size)
    columns = {"x": ("float32", size.shape)}
    spent = np.zeros((size.steps, 3))
    with GlobalReplay(
        comm, columns, f"{size.held} rows", size.draw, policy="candidate", accept=1 / 7
    ) as held:
        while held.sizes().sum() < size.held:
            held.push({"x": x})
        for step in range(size.steps):
            comm.Barrier()  # what is measured then is not how late the other rank comes
            began, worked = time.perf_counter(), time.process_time()
            held.wait()
            waited = time.perf_counter()
            held.push({"x": x})
            ended = time.perf_counter()
            spent[step] = waited - began, ended - waited, time.process_time() - worked
            _train()
        sent = held.stats().sent_bytes / held.step
    slowest = np.empty_like(spent)
    comm.Allreduce(spent, slowest, MPI.MAX)
    wait, push, work = (1e3 * column for column in slowest.T)
    both = np.sort(wait + push)
    return {
        "bench": "replay", "ranks": comm.size, "row_bytes": 4 * int(np.prod(size.shape)), "draw": size.draw,
        "wait_ms": float(np.median(wait)), "push_ms": float(np.median(push)),
        "p99_ms": float(both[-1 - len(both) // 100]), "work_ms": float(np.median(work)),
        "share_pct": float(np.median(both)) / (10 * STEP_S),
        "work_pct": float(np.median(work)) / (10 * STEP_S), "sent_bytes": int(sent),
    }  # fmt: skip


def _train() -> None:
    matrix, out = np.ones((256, 256), np.float32), np.empty((256, 256), np.float32)
    end = time.process_time() + STEP_S
    while time.process_time() < end:
        np.matmul(matrix, matrix, out)


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
        "bench": "replay alone", "row_bytes": 4 * int(np.prod(size.shape)), "held": size.held,
        "batch": size.batch, "us": 1e6 * best, "rows_s": size.batch / best,
    }  # fmt: skip
