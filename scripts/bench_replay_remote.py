"""The rate of TorchRL's RemoteTensorDictReplayBuffer, for an interpreter that has torchrl: no mpidcl here.

    python scripts/bench_replay_remote.py TRAINERS BATCH FLOATS HELD STEPS ROUNDS

One more process owns the buffer, and `TRAINERS` processes store and draw a batch at every step, by RPC.
Prints one line of JSON: microseconds of a step (best round of the slowest trainer), and of work of all
processes together, the owner's included, for a step of all trainers.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from tensordict import TensorDict
from torch import multiprocessing
from torch.distributed import rpc
from torchrl.data import LazyTensorStorage
from torchrl.data.replay_buffers.replay_buffers import RemoteTensorDictReplayBuffer

OWNER, FILL = "owner", 10_000


class Job(NamedTuple):
    """What is measured, and two ports of this machine: of RPC, and of the store by which trainers agree."""

    trainers: int
    batch: int
    floats: int
    held: int
    steps: int
    rounds: int
    ports: tuple[int, int] = (0, 0)


class Owned(RemoteTensorDictReplayBuffer):
    """The buffer of the owner."""

    def __init__(self, job: Job) -> None:
        super().__init__(storage=LazyTensorStorage(job.held), batch_size=job.batch)


_owned: list[Owned] = []


def _make(job: Job) -> None:
    """On the owner: a full buffer."""
    _owned.append(Owned(job))
    rows = TensorDict({"x": torch.rand(FILL, job.floats)}, [FILL])
    while len(_owned[0]) < job.held:
        _owned[0].extend(rows)


def _store(rows: TensorDict) -> None:
    _owned[0].extend(rows)


def _draw(count: int) -> Any:
    return _owned[0].sample(count)


def _seconds(job: Job, rows: TensorDict) -> tuple[float, float]:
    """By the clock and of work, for a step of this trainer."""
    began, worked = time.perf_counter(), time.process_time()
    for _ in range(job.steps):
        rpc.rpc_sync(OWNER, _store, args=(rows,))
        rpc.rpc_sync(OWNER, _draw, args=(job.batch,))
    return (time.perf_counter() - began) / job.steps, (time.process_time() - worked) / job.steps


def _meet(store: dist.TCPStore, name: str, trainers: int) -> None:
    store.add(name, 1)
    while store.add(name, 0) < trainers:
        time.sleep(0.001)


def _live(rank: int, job: Job, found: Any) -> None:
    """Rank 0 owns the buffer, the others train."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(job.ports[0]))
    options = rpc.TensorPipeRpcBackendOptions(num_worker_threads=8, rpc_timeout=300)
    name = f"trainer {rank}" if rank else OWNER
    rpc.init_rpc(name.replace(" ", "-"), rank=rank, world_size=job.trainers + 1, rpc_backend_options=options)
    if rank:
        store = dist.TCPStore(
            "127.0.0.1", job.ports[1], is_master=rank == 1, wait_for_workers=False,
            timeout=timedelta(seconds=300),
        )  # fmt: skip
        if rank == 1:
            rpc.rpc_sync(OWNER, _make, args=(job,))
        rows = TensorDict({"x": torch.rand(job.batch, job.floats)}, [job.batch])
        best, least = float("inf"), float("inf")
        for number in range(job.rounds):
            _meet(store, f"round {number}", job.trainers)
            before = rpc.rpc_sync(OWNER, time.process_time)
            seconds, work = _seconds(job, rows)
            _meet(store, f"end of round {number}", job.trainers)
            owners = (rpc.rpc_sync(OWNER, time.process_time) - before) / job.steps
            best, least = min(best, seconds), min(least, work + owners / job.trainers)
        found.put((best, least))
        _meet(store, "end", job.trainers)
        if rank == 1:
            time.sleep(0.5)  # the store is this process's: others may still be asking it
    rpc.shutdown()


def main(words: list[str]) -> None:
    job = Job(*map(int, words))
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        job = job._replace(ports=(one.getsockname()[1], other.getsockname()[1]))
    context = multiprocessing.get_context("spawn")
    found = context.SimpleQueue()
    processes = [context.Process(target=_live, args=(rank, job, found)) for rank in range(job.trainers + 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit(f"every process should end with status 0. Found {[one.exitcode for one in processes]}.")
    seconds, work = zip(*(found.get() for _ in range(job.trainers)), strict=True)
    print(json.dumps({"us": 1e6 * max(seconds), "work_us": 1e6 * sum(work)}))


if __name__ == "__main__":
    main(sys.argv[1:])
