"""`mpidcl bench ring` and `exchange`: messages of this machine, beside bare MPI with the same buffers."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path

import numpy as np
from mpi4py import MPI

from mpidcl.network.frames.message import Array, Message
from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.requests import Meet, Outgoing, Reply
from mpidcl.network.schedule.topology import Link, Topology

RING_SIZES = (8, 1024, 64 * 1024, 1024**2)
EXCHANGE_SIZES = (8, 256, 4096, 64 * 1024, 1024**2, 4 * 1024**2, 16 * 1024**2, 64 * 1024**2)
Measured = dict[str, str | float]
ROUNDS = 7
"""Repetitions of every measurement; bare and mpidcl take turns, and the median is shown."""


def ring(lines: Path | None = None) -> None:
    """A message goes once around all ranks: time per hop, bare and as mpidcl's frames. Collective."""
    comm = MPI.COMM_WORLD
    rows: list[Measured] = []
    for size in RING_SIZES:
        bare, frames = alternate(comm, _bare_ring(comm, size), _frame_ring(comm, size), _repeats(size))
        hop_us = (1e6 * bare / comm.size, 1e6 * frames / comm.size)
        rows.append(
            {"bench": "ring", "ranks": comm.size, "bytes": size, "bare_us": hop_us[0], "mpidcl_us": hop_us[1]}
        )
    print_rows(comm, f"ring of {comm.size} ranks, one way, per hop", rows, lines)


def exchange(lines: Path | None = None) -> None:
    """Two ranks send each other an array at the same time: frames beside bare Isend and Irecv. Collective.

    More ranks are paired 0-1, 2-3, ...; all pairs run at once.
    """
    comm = MPI.COMM_WORLD
    rows = []
    for size in EXCHANGE_SIZES:
        repeats = _repeats(size)
        bare, frames = alternate(comm, _bare_pair(comm, size), _frame_pair(comm, size), repeats)
        row: Measured = {"bench": "exchange", "ranks": comm.size, "bytes": size}
        row |= {"bare_us": 1e6 * bare, "mpidcl_us": 1e6 * frames, "over_us": 1e6 * (frames - bare)}
        rows.append(row | {"bare_GB_s": 2 * size / bare / 1e9, "share_of_bare": bare / frames})
    print_rows(comm, "both ways at once between two ranks, per meeting", rows, lines)


def _repeats(size: int) -> int:
    return max(5, min(2000, 2**24 // max(size, 4096)))


Work = Callable[[int], float]
"""Does something so many times; returns seconds per time."""


def alternate(comm: MPI.Intracomm, first: Work, second: Work, repeats: int) -> tuple[float, float]:
    """Median seconds of both; in turn, so that a drift meets both, and the slowest rank counts."""
    pairs = []
    for number in range(ROUNDS + 1):
        seconds = []
        for work in (first, second):
            comm.Barrier()
            seconds.append(comm.allreduce(work(repeats), MPI.MAX))
        if number:  # the first round touches memory and fills caches
            pairs.append(seconds)
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def timed(repeats: int, once: Callable[[], None]) -> float:
    """Seconds per call."""
    began = time.perf_counter()
    for _ in range(repeats):
        once()
    return (time.perf_counter() - began) / repeats


def _partner(comm: MPI.Intracomm) -> int | None:
    other = comm.rank ^ 1
    return other if other < comm.size else None


def _bare_pair(comm: MPI.Intracomm, size: int) -> Work:
    out, back = np.ones(size, np.uint8), np.ones(size, np.uint8)
    other = _partner(comm)

    def once() -> None:
        if other is not None:
            MPI.Request.Waitall([comm.Irecv(back, other, 7), comm.Isend(out, other, 7)])

    return lambda repeats: timed(repeats, once)


def _frame_pair(comm: MPI.Intracomm, size: int) -> Work:
    other = _partner(comm)
    topology = Topology.of("pairs", comm.size, tuple(_pair_links(comm.size)))
    driver = MpiDriver(comm, topology, range(comm.size))
    out = np.ones(size, np.uint8)
    count = iter(range(2**62))

    def life(repeats: int) -> Generator[Meet, Reply, float]:
        if other is None:
            return 0.0
        link, back = topology.outgoing(comm.rank)[other], topology.incoming(comm.rank)[other]
        began = time.perf_counter()
        for _ in range(repeats):
            number = next(count)
            message = Message("bench", {"number": number}, {"array": out})
            yield Meet("bench", 0, (Outgoing(link, number, ((0, message),)),), ((back, number),))
        return (time.perf_counter() - began) / repeats

    return lambda repeats: float(driver.drive({comm.rank: life(repeats)})[comm.rank])


def _pair_links(size: int) -> Iterable[Link]:
    pairs = sorted((a, a ^ 1) for a in range(size) if a ^ 1 < size)
    return (Link(number, source, target) for number, (source, target) in enumerate(pairs))


def _bare_ring(comm: MPI.Intracomm, size: int) -> Work:
    array = np.ones(size, np.uint8)
    before, after = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size

    def once() -> None:
        if comm.rank:
            comm.Recv(array, before, 8)
            comm.Send(array, after, 8)
        else:
            comm.Send(array, after, 8)
            comm.Recv(array, before, 8)

    return lambda repeats: timed(repeats, once)


def _frame_ring(comm: MPI.Intracomm, size: int) -> Work:
    n = comm.size
    topology = Topology.of("ring", n, tuple(Link(a, a, (a + 1) % n) for a in range(n)))
    driver = MpiDriver(comm, topology, range(n))
    array: Array = np.ones(size, np.uint8)
    count = iter(range(2**62))

    def life(repeats: int) -> Generator[Meet, Reply, float]:
        (out,), (back,) = topology.outgoing(comm.rank).values(), topology.incoming(comm.rank).values()
        began = time.perf_counter()
        for _ in range(repeats):
            number = next(count)
            send = Meet(
                "ring", 0, (Outgoing(out, number, ((0, Message("ring", {}, {"array": array})),)),), ()
            )
            hear = Meet("ring", 0, (), ((back, number),))
            first, second = (hear, send) if comm.rank else (send, hear)
            yield first
            yield second
        return (time.perf_counter() - began) / repeats

    return lambda repeats: float(driver.drive({comm.rank: life(repeats)})[comm.rank])


IN_TURN = f"medians of {ROUNDS}, bare and mpidcl in turn"


def print_rows(
    comm: MPI.Intracomm, title: str, rows: Sequence[Measured], lines: Path | None, how: str = IN_TURN
) -> None:
    """A table on rank 0, and one JSON line per row in the file `lines`. `how` it was measured."""
    if comm.rank:
        return
    columns = [name for name in rows[0] if name not in ("bench", "ranks")]
    print(f"{title}; {MPI.Get_library_version().split(',')[0]}, {how}")
    wide = max(16, 2 + max(map(len, columns)))
    print("".join(f"{name:>{wide}}" for name in columns))
    for row in rows:
        print("".join(f"{_shown(row[name]):>{wide}}" for name in columns))
    if lines is not None:
        with lines.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def _shown(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
