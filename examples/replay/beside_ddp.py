"""One replay buffer across all ranks, beside torch's DistributedDataParallel.

    mpiexec -n 4 python -m mpi4py examples/replay/beside_ddp.py         a minute on 2 busy cores
    mpiexec -n 4 python -m mpi4py examples/replay/beside_ddp.py none    without replay: digits are forgotten

DDP averages the gradients (over gloo here, over NCCL on GPUs), and the buffer moves rows over MPI: neither
waits for the other. mpiexec starts the processes, not torchrun, and MPI tells torch who they are. `-m mpi4py`
ends the whole job when one rank fails. Digits come two at a time, as in in_your_loop.py. Comments with GPU
say what to write there for GPUs. See docs/replay.md.
"""

import socket
import sys
from collections.abc import Iterator

import numpy as np
import torch
import torch.distributed as dist
from mpi4py import MPI
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from mpidcl.replay import GlobalReplay

STEPS, BATCH, LR = 40, 16, 0.1
COLUMNS = {"x": ("float32", (64,)), "y": "int64"}


def main(method: str, seed: int) -> None:
    """Train; rank 0 prints how many of all digits are known at the end."""
    comm = MPI.COMM_WORLD
    torch.set_num_threads(1)
    device = torch.device("cpu")
    # GPU, one for each rank of a machine: torch.device("cuda", comm.Split_type(MPI.COMM_TYPE_SHARED).rank),
    # and torch.cuda.set_device(device)
    join_torch(comm, "gloo")  # GPU: "nccl"
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)
    model = DistributedDataParallel(net)  # GPU: device_ids=[device]. All begin with the weights of rank 0
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)

    with GlobalReplay(comm, COLUMNS, "20 rows per class", 32, label="y", classes=10, seed=seed) as replay:
        for x, y in batches(comm.rank, comm.size, seed):
            old, count = replay.wait()  # drawn one step ago, from all ranks; NumPy arrays of the host
            replay.push({"x": x, "y": y})  # copies them; rows of the next step travel from here on
            if count and method != "none":
                # One batch, for one forward pass: with two of them DDP fails where a net has BatchNorm.
                x = torch.cat([x, torch.from_numpy(old["x"])])
                y = torch.cat([y, torch.from_numpy(old["y"])])
            x, y = x.to(device), y.to(device)  # GPU: x.pin_memory().to(device, non_blocking=True)
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()  # over gloo or NCCL, all ranks together
            optimizer.step()
        stats = replay.stats()

    if comm.rank == 0:
        print(f"{method}: {100 * accuracy(net, device):.1f} % of all digits")
        spent = 1000 * (stats.push_s + stats.wait_s) / stats.steps
        print(f"push and wait took {spent:.2f} ms a step and sent {stats.sent_rows} rows from this rank")
    dist.destroy_process_group()


def join_torch(comm: MPI.Intracomm, backend: str) -> None:
    """Torch's default group has the ranks of `comm` from here on; every rank calls it.

    Rank 0 listens on a port that the system gives it (0: any that is free) and tells the others. So nobody
    chooses a MASTER_PORT, and two jobs on one machine cannot meet.
    """
    if comm.rank == 0:
        host = socket.gethostname()
        store = dist.TCPStore(host, 0, comm.size, is_master=True, wait_for_workers=False)
        comm.bcast((host, store.port))
    else:
        host, port = comm.bcast(None)
        store = dist.TCPStore(host, port, comm.size, is_master=False)
    dist.init_process_group(backend, store=store, rank=comm.rank, world_size=comm.size)


def batches(rank: int, ranks: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of this rank's images: first of digits 0 and 1, then of 2 and 3, ...

    As many on every rank: DDP waits in each backward pass for all of them.
    """
    digits, rng = load_digits(), np.random.default_rng([seed, rank])
    for first in range(0, 10, 2):
        mine = np.flatnonzero((digits.target // 2 == first // 2) & (np.arange(1797) % ranks == rank))
        for _ in range(STEPS):
            chosen = rng.choice(mine, BATCH)
            yield (
                torch.tensor(digits.data[chosen] / 16, dtype=torch.float32),
                torch.tensor(digits.target[chosen]),
            )


def accuracy(net: nn.Module, device: torch.device) -> float:
    """The share of all digits that the net tells right."""
    digits = load_digits()
    found = net(torch.tensor(digits.data / 16, dtype=torch.float32, device=device)).argmax(1).cpu()
    return float((found.numpy() == digits.target).mean())


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    main(given.get(0, "er"), int(given.get(1, 0)))
