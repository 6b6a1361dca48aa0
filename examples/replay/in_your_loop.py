"""One replay buffer across all ranks, in a training loop of your own.

    mpiexec -n 4 python examples/replay/in_your_loop.py              replay (ER)
    mpiexec -n 4 python examples/replay/in_your_loop.py der          rows with their logits (DER++)
    mpiexec -n 4 python examples/replay/in_your_loop.py none         without replay: old digits are forgotten

The ten digits come two at a time, and no digit comes again. Every rank has its own part of the images, and
all train one net: gradients are averaged. What keeps the old digits is the buffer: each rank holds a share of
it, and draws from all shares. Rows for the next step travel while this one is computed. See docs/replay.md.
"""

import sys
from collections.abc import Iterator

import numpy as np
import torch
from mpi4py import MPI
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from mpidcl.replay import GlobalReplay

STEPS, BATCH, LR = 40, 16, 0.1
COLUMNS = {"x": ("float32", (64,)), "y": "int64", "logits": ("float32", (10,))}


def main(method: str) -> None:
    """Train; rank 0 prints how many of all digits are known at the end."""
    comm = MPI.COMM_WORLD
    torch.manual_seed(0)  # the same first weights on every rank
    torch.set_num_threads(1)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    held: dict[str, Tensor] | None = None

    with GlobalReplay(comm, COLUMNS, "20 rows per class", 32, label="y", classes=10) as replay:
        for x, y in batches(comm.rank, comm.size):
            old, count = replay.wait()  # drawn one step ago, from all ranks
            replay.push(held)  # the batch before this one: its logits are known by now
            logits = net(x)
            held = {"x": x, "y": y, "logits": logits}
            loss = cross_entropy(logits, y)
            if count and method != "none":
                again = net(torch.from_numpy(old["x"]))
                loss = loss + cross_entropy(again, torch.from_numpy(old["y"]))
                if method == "der":
                    loss = loss + 0.1 * mse_loss(again, torch.from_numpy(old["logits"]))
            step(net, loss, comm)
        sizes, stats = replay.sizes(), replay.stats()

    known = accuracy(net)
    if comm.rank == 0:
        print(f"{method}: {100 * known:.1f} % of all digits, with {sizes.sum()} rows on ranks: {sizes}")
        spent = 1000 * (stats.push_s + stats.wait_s) / stats.steps
        print(f"push and wait took {spent:.2f} ms a step and sent {stats.sent_rows} rows from this rank")


def batches(rank: int, ranks: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of this rank's images: first of digits 0 and 1, then of 2 and 3, ..."""
    digits, rng = load_digits(), np.random.default_rng(rank)
    for first in range(0, 10, 2):
        mine = np.flatnonzero((digits.target // 2 == first // 2) & (np.arange(1797) % ranks == rank))
        for _ in range(STEPS):
            chosen = rng.choice(mine, BATCH)
            yield (
                torch.tensor(digits.data[chosen] / 16, dtype=torch.float32),
                torch.tensor(digits.target[chosen]),
            )


def step(net: nn.Module, loss: Tensor, comm: MPI.Intracomm) -> None:
    """One step along the mean gradient of all ranks."""
    gradient = torch.cat(
        [part.flatten() for part in torch.autograd.grad(loss, list(net.parameters()))]
    ).numpy()
    comm.Allreduce(MPI.IN_PLACE, gradient)
    with torch.no_grad():
        weights = nn.utils.parameters_to_vector(net.parameters())
        nn.utils.vector_to_parameters(weights - LR / comm.size * torch.from_numpy(gradient), net.parameters())


def accuracy(net: nn.Module) -> float:
    """The share of all digits that the net tells right."""
    digits = load_digits()
    found = net(torch.tensor(digits.data / 16, dtype=torch.float32)).argmax(1)
    return float((found.numpy() == digits.target).mean())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "er")
