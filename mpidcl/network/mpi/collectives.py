"""Collective calls of the start-up: texts that every rank must hold. Never used once agents live."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI


def world() -> MPI.Intracomm:
    """All ranks of the job; MPI is started if it was not."""
    return MPI.COMM_WORLD


def library() -> str:
    """Name and version of the MPI library."""
    return MPI.Get_library_version().split("\0")[0].splitlines()[0].split(",")[0]


def machines(comm: MPI.Intracomm) -> list[int]:
    """Of every rank the lowest one on its machine; host names may be equal. All ranks must call."""
    local = comm.Split_type(MPI.COMM_TYPE_SHARED, comm.rank)
    lowest, found = np.array([comm.rank], np.int64), np.empty(comm.size, np.int64)
    local.Bcast(lowest)
    local.Free()
    comm.Allgather(lowest, found)
    return [int(rank) for rank in found]


def allgather_text(comm: MPI.Intracomm, text: str) -> list[str]:
    """Every rank's text, in order of rank. All ranks must call; all hold the same list afterwards."""
    mine = np.frombuffer(text.encode(), np.uint8)
    sizes = np.empty(comm.size, np.int64)
    comm.Allgather(np.array([mine.size], np.int64), sizes)
    everything = np.empty(int(sizes.sum()), np.uint8)
    comm.Allgatherv(mine, (everything, sizes))
    ends = np.cumsum(sizes)
    return [everything[end - size : end].tobytes().decode() for size, end in zip(sizes, ends, strict=True)]


def broadcast_text(comm: MPI.Intracomm, text: str | None) -> str:
    """Rank 0's text. All ranks must call; all hold it afterwards."""
    size = np.array([len(text.encode()) if text is not None else 0], np.int64)
    comm.Bcast(size)
    data = np.empty(int(size[0]), np.uint8)
    if comm.rank == 0 and text is not None:
        data[:] = np.frombuffer(text.encode(), np.uint8)
    comm.Bcast(data)
    return data.tobytes().decode()
