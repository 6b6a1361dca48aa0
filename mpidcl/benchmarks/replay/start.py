"""`mpidcl bench replay --part start`: seconds until the first row of a buffer across all ranks, memory."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

from mpidcl.benchmarks.between_ranks import Measured, print_rows
from mpidcl.benchmarks.replay.step import SIZES, Size
from mpidcl.replay import GlobalReplay
from mpidcl.run.clock import peak_rss_bytes

MB = 1e6


def start(lines: Path | None = None) -> None:
    """For every size of rows: the buffer is made, filled and drawn from. Collective."""
    comm = MPI.COMM_WORLD
    rows = [_started(comm, size) for size in reversed(SIZES)]  # small ones first: a peak never falls
    how = "the slowest and the largest rank"
    print_rows(comm, f"the start of one buffer across {comm.size} ranks", rows, lines, how)


def _started(comm: MPI.Intracomm, size: Size) -> Measured:
    x = np.random.default_rng(0).random((size.batch, *size.shape), np.float32)
    before, columns = peak_rss_bytes(), {"x": ("float32", size.shape)}
    comm.Barrier()
    began, worked, count = time.perf_counter(), time.process_time(), 0
    with GlobalReplay(
        comm, columns, f"{size.held} rows", size.draw, policy="candidate", accept=1 / 7
    ) as held:
        made = time.perf_counter()
        while not count:
            _, count = held.wait()
            held.push({"x": x})
        first, worked = time.perf_counter(), time.process_time() - worked
        while held.sizes().sum() < size.held:
            held.wait()
            held.push({"x": x})
        held.wait()
        room = held.stats().room * size.row_bytes
    grown = peak_rss_bytes() - before
    found = np.array([made - began, first - began, worked, room / MB, grown / MB, before / MB])
    most = np.empty_like(found)
    comm.Allreduce(found, most, MPI.MAX)
    names = ("made_ms", "first_row_ms", "work_ms", "share_MB", "buffer_MB", "else_MB")
    values = most * [1e3, 1e3, 1e3, 1, 1, 1]
    return {
        "bench": "replay start", "ranks": comm.size, "row_bytes": size.row_bytes, "batch": size.batch,
        "draw": size.draw, "held": size.held, **dict(zip(names, values.tolist(), strict=True)),
    }  # fmt: skip
