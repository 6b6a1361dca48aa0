"""mpidcl in a training loop of your own: every rank learns one task, and all of them one net.

    mpiexec -n 4 python examples/library/combine_in_your_loop.py              about 5 seconds
    mpiexec -n 2 python examples/library/combine_in_your_loop.py elastic      another combiner

Rank r tells apart two of the digits. Its gradient stays with it: ranks exchange slices of gradients, find
the Gram matrix, weigh the gradients and get the one direction in which all losses fall, bit for bit the same
everywhere. It costs the traffic of one allreduce. docs/combining.md has more. The tasks are in conflict: what
is a 1 for one rank has to be a 0 for another, from images alone.
"""

import sys

import numpy as np
import torch
from mpi4py import MPI
from sklearn.datasets import load_digits
from torch import nn

from mpidcl.combining import Combination
from mpidcl_kernels.gram import cosine_matrix

STEPS, BATCH, LR = 150, 64, 0.1


def task(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [n, 64] of two digits, and which of them it is: 0 1 for rank 0, 2 3 for rank 1, ..."""
    digits = load_digits()
    first = 2 * rank % 10
    mine = (digits.target == first) | (digits.target == first + 1)
    x = torch.tensor(digits.data[mine] / 16, dtype=torch.float32)
    return x, torch.tensor(digits.target[mine] - first)


def main(combiner: str) -> None:
    """Train; rank 0 prints how every task fares."""
    comm = MPI.COMM_WORLD
    torch.manual_seed(0)  # the same first weights on every rank
    torch.set_num_threads(1)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2))
    parameters = list(net.parameters())
    x, y = task(comm.rank)

    with Combination(comm, combiner) as combination:
        for step in range(STEPS):
            rows = torch.arange(step * BATCH, (step + 1) * BATCH) % len(x)
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)])
            direction = combination.direction(gradient, loss.item())
            with torch.no_grad():
                new = nn.utils.parameters_to_vector(parameters) - LR * direction
                nn.utils.vector_to_parameters(new, parameters)
            last = combination.last
            if comm.rank == 0 and last is not None and (step + 1) % 50 == 0:
                least = cosine_matrix(last.gram).min()
                print(f"step {step + 1}: losses {last.losses.round(3)}, least cosine {least:.2f}")

    right = float((net(x).argmax(1) == y).float().mean())
    total = float(nn.utils.parameters_to_vector(parameters).detach().double().sum())
    table = np.empty((comm.size, 2))
    comm.Allgather(np.array([right, total]), table)
    if comm.rank == 0:
        print("accuracy of each task:", *(f"{100 * accuracy:.1f} %" for accuracy in table[:, 0]))
        print("one net on all ranks:", bool((table[:, 1] == total).all()))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "upgrad")
