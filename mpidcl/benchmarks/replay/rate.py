"""How many rows per second one replay buffer across ranks stores and draws, when nothing else is done."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

from mpidcl.benchmarks.between_ranks import Measured, print_rows
from mpidcl.replay import GlobalReplay

ROW, BATCH, HELD, STEPS, ROUNDS = 64, 256, 1_000_000, 100, 5
"""Rows of so many float32; each rank stores and draws a batch at every step, of those that all hold."""


def rate(comm: MPI.Intracomm, lines: Path | None) -> None:
    """Prints one row. Collective."""
    how = f"slowest rank, best of {ROUNDS}"
    print_rows(comm, "one buffer across ranks: batches stored and drawn", [_measure(comm)], lines, how)


def _measure(comm: MPI.Intracomm) -> Measured:
    x, best = np.random.default_rng(0).random((BATCH, ROW), np.float32), np.full(2, np.inf)
    with GlobalReplay(comm, {"x": ("float32", (ROW,))}, f"{HELD} rows", BATCH, policy="fifo") as held:
        while held.sizes().sum() < HELD:
            held.push({"x": x})
        for _ in range(ROUNDS):
            comm.Barrier()
            began, worked = time.perf_counter(), time.process_time()
            for _ in range(STEPS):
                held.wait()
                held.push({"x": x})
            spent = np.array([time.perf_counter() - began, time.process_time() - worked]) / STEPS
            best = np.minimum(best, spent)
    slowest = np.empty(2)
    comm.Allreduce(best, slowest, MPI.MAX)
    wall, work = slowest.tolist()
    return {
        "bench": "replay rate", "ranks": comm.size, "row_bytes": 4 * ROW, "batch": BATCH, "held": HELD,
        "us": 1e6 * wall, "work_us": 1e6 * work, "rows_s": BATCH / wall,
        "all_rows_s": comm.size * BATCH / wall,
    }  # fmt: skip
