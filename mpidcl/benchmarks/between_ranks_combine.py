"""`mpidcl bench combine` between ranks: elastic combination beside one allreduce of the same vector."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from mpidcl.benchmarks.between_ranks import Measured, Work, alternate, print_rows, timed
from mpidcl.network.mpi.counters import SentCounter
from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.requests import Combine, Compare, Compared, Reply, Request, Row
from mpidcl.network.schedule.topology import Topology
from mpidcl_kernels.simplex import elastic_weights

SIZES = (112_766, 1_000_000, 11_000_000)
"""Floats: the MLP of PS-EMNIST, and about a ResNet-18."""
REPEATS_BYTES = 2**26


def combine(lines: Path | None = None) -> None:
    """One gradient per rank: compare, solve for elastic weights, combine; and `Allreduce`. Collective.

    Bytes are those that a rank sends for one direction, the mean over ranks: as the ledger counts them, as
    MPI counts them (0 where it does not tell), and 2 P (n - 1) / n floats, those of a ring allreduce.
    """
    comm, rows = MPI.COMM_WORLD, []
    for floats in SIZES:
        gradient = np.random.default_rng(comm.rank).normal(size=floats).astype(np.float32)
        ours, whole = Combined(comm, gradient), _allreduce(comm, 0 * gradient)
        bare, combined = alternate(comm, whole, ours.work, max(3, min(200, REPEATS_BYTES // gradient.nbytes)))
        row: Measured = {"bench": "combine", "ranks": comm.size, "floats": floats}
        row |= {"allreduce_ms": 1e3 * bare, "mpidcl_ms": 1e3 * combined, "times_bare": combined / bare}
        rows.append(row | ours.bytes_sent(whole))
        ours.driver.close()
    print_rows(comm, "one gradient on each rank: MPI.Allreduce, and elastic combination", rows, lines)


class Combined:
    """Combines the same gradients again and again with the driver that runs use."""

    def __init__(self, comm: MPI.Intracomm, gradient: NDArray[np.float32]) -> None:
        self.comm, self.gradient, self.out = comm, gradient, np.empty_like(gradient)
        self.driver = MpiDriver(comm, Topology.of("all", comm.size, ()), range(comm.size))
        self._number = 0

    def work(self, repeats: int) -> float:
        """Seconds per direction."""
        return float(self.driver.drive({self.comm.rank: self._life(repeats)})[self.comm.rank])

    def _life(self, repeats: int) -> Generator[Request, Reply, float]:
        facts = np.zeros(1, np.float32)
        owners, sigma = tuple(range(self.comm.size)), np.full(self.comm.size, 1 / self.comm.size)
        began = time.perf_counter()
        for _ in range(repeats):
            self._number += 1
            row = Row(self.comm.rank, self.gradient, facts)
            compared: Compared = yield Compare("bench", self._number, owners, (row,))
            yield Combine("bench", self._number, elastic_weights(compared.gram, sigma), self.out)
        return (time.perf_counter() - began) / repeats

    def bytes_sent(self, allreduce: Work) -> dict[str, int]:
        """By a rank for one direction, the mean over ranks, in four ways of counting."""
        counter, before = SentCounter(self.comm), self.driver.together.sent_bytes
        self.work(1)
        by_mpi, _ = counter.sent()
        ledger = self.driver.together.sent_bytes - before
        self.comm.Barrier()
        again = SentCounter(self.comm)
        allreduce(1)
        counts = {"ledger": ledger, "by_mpi": by_mpi, "allreduce_by_mpi": again.sent()[0]}
        ranks = self.comm.size
        mean = {f"bytes_{name}": self.comm.allreduce(value) // ranks for name, value in counts.items()}
        return mean | {"bytes_ring": 2 * self.gradient.nbytes * (ranks - 1) // ranks}


def _allreduce(comm: MPI.Intracomm, vector: NDArray[np.float32]) -> Work:
    """The sum in place. `vector` holds zeros, so that it stays finite."""
    return lambda repeats: timed(repeats, lambda: comm.Allreduce(MPI.IN_PLACE, vector))
