"""m2mKD: each module of a student learns from a module of a teacher, one MPI process for each module.

    mpiexec -n 3 python -m mpi4py examples/dmkd/m2mkd.py      half a minute; the same lines on any ranks
    mpiexec -n 3 python -m mpi4py examples/dmkd/m2mkd.py 5    seed 5

"m2mKD: Module-to-Module Knowledge Distillation for Modular Transformers" (arXiv 2402.16918), small, on
digits:

  1. Rank 0 trains a meta model, with a plain layer in place of each module, and tells the others.
  2. Module i of the teacher learns in place of layer i, while all else is frozen.
  3. Module i of the student stands in place of layer i, too, and learns what the teacher's module makes of
     it: tau^2 KL(outputs with the teacher's || outputs with the student's). No module waits for another.
  4. The student is put together, with the ends of the meta model, and trained as a whole. Beside it: one
     that has the ends alone, and one that begins from nothing.

A module of the student is four experts of which two answer a row, by mpidcl. What travels is the meta model
and each module, once. 800 of the 900 labels are known to the teacher and the meta model alone; step 3 needs
none. (In the paper half of the loss of step 3 is cross-entropy, and the student has stitches as well.)
"""

import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from mpi4py import MPI
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mpidcl.learning.terms.distillation import divergence
from mpidcl.model.experts.routing import dispatch, route

MODULES, WIDTH, TEACHER = 3, 32, 64  # how many modules; width of meta model and student, and of the teacher
EPOCHS, BATCH, LR, DECAY = 30, 32, 2e-3, 0.05
LABELS, TAU = 100, 1.0  # that the student has; temperature of the distillation
Rows = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


def main(seed: int) -> None:
    """Carry the four steps out; rank 0 prints how many test rows each net tells right."""
    comm = MPI.COMM_WORLD
    torch.set_num_threads(1)
    rows, few, test = data(seed)
    mine = range(comm.rank, MODULES, comm.size)

    meta = made(seed, lambda: Net(WIDTH, (nn.Linear(WIDTH, WIDTH) for _ in range(MODULES))))
    if comm.rank == 0:
        train(meta, by_labels(meta), rows, EPOCHS, seed)
    share(comm, [meta], [0] if comm.rank == 0 else [])

    teachers = [made(seed + i, lambda: Stitched(Block(TEACHER, 4 * TEACHER))) for i in range(MODULES)]
    for i in mine:
        train(teachers[i], by_labels(meta, i, teachers[i]), rows, EPOCHS, seed)
    share(comm, teachers, mine)

    students = [made(seed + i, lambda: ExpertBlock(WIDTH)) for i in range(MODULES)]
    for i in mine:
        train(students[i], by_teacher(meta, i, teachers[i], students[i]), rows, EPOCHS, seed)
    share(comm, students, mine)

    if comm.rank == 0:
        teacher = made(seed, lambda: Net(TEACHER, (one.module for one in teachers)))
        train(teacher, by_labels(teacher), rows, EPOCHS, seed)
        print(f"teacher, {len(rows[1])} labels: {accuracy(teacher, test):.1f} %")
        ends = [meta.first, meta.head]
        begun = {"nothing": [], "the ends": ends, "all of it": [*ends, *students]}
        for words, parts in begun.items():
            found = [put_together(parts, few, test, epochs, seed) for epochs in (0, EPOCHS // 6, EPOCHS)]
            told = ", ".join(f"{one:.1f} %" for one in found)
            print(f"student that begins with {words}, after 0, {EPOCHS // 6} and {EPOCHS} epochs: {told}")


def put_together(parts: Sequence[nn.Module], few: Rows, test: Rows, epochs: int, seed: int) -> float:
    """Accuracy of a student that has learned so long; ends and modules `parts` begin as they are there."""
    student = made(seed, lambda: Net(WIDTH, (ExpertBlock(WIDTH) for _ in range(MODULES))))
    for own, given in zip((student.first, student.head, *student.inner), parts, strict=False):
        own.load_state_dict(given.state_dict())
    train(student, by_labels(student), few, epochs, seed)
    return accuracy(student, test)


class Block(nn.Module):
    """A residual layer of rows [n, width]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        steps = nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.steps(x)


class ExpertBlock(nn.Module):
    """A residual layer of four experts, two of which answer a row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, 4)
        self.experts = nn.ModuleList(Block(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        return dispatch(x, route(self.router(x), 2), list(self.experts))


class Stitched(nn.Module):
    """A teacher's module in the meta model, between two stitches that are thrown away at the end."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.into = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, TEACHER))
        self.module = module
        self.out = nn.Sequential(nn.LayerNorm(TEACHER), nn.Linear(TEACHER, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.module(self.into(x)))


class Net(nn.Module):
    """A first layer, modules and a head."""

    def __init__(self, width: int, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self.first, self.inner, self.head = nn.Linear(64, width), nn.ModuleList(modules), nn.Linear(width, 10)

    def forward(self, x: Tensor, place: int = -1, guest: nn.Module | None = None) -> Tensor:
        """Outputs [n, 10] of rows [n, 64]; with `guest` in place of module `place`."""
        x = self.first(x)
        for number, module in enumerate(self.inner):
            x = guest(x) if guest is not None and number == place else module(x)
        return self.head(x)


def by_labels(net: Net, place: int = -1, guest: nn.Module | None = None) -> Loss:
    """Cross-entropy of a net."""
    return lambda x, y: cross_entropy(net(x, place, guest), y)


def by_teacher(meta: Net, place: int, teacher: nn.Module, student: nn.Module) -> Loss:
    """Between the meta model with the teacher's module in it and with the student's. No label is read."""

    def loss(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = meta(x, place, teacher)
        return divergence(wanted, meta(x, place, student), TAU)

    return loss


def train(module: nn.Module, loss: Loss, rows: Rows, epochs: int, seed: int) -> None:
    """AdamW on the parameters of `module` alone, with a falling step size."""
    x, y = rows
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(module.parameters(), LR, weight_decay=DECAY)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs, 1))
    for _ in range(epochs):
        for chosen in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            loss(x[chosen], y[chosen]).backward()
            optimizer.step()
        falling.step()


def made(seed: int, make: Callable[[], nn.Module]):  # type: ignore[no-untyped-def]
    """A module with the same first weights on whatever rank."""
    torch.manual_seed(seed)
    return make()


def share(comm: MPI.Intracomm, modules: Sequence[nn.Module], mine: Iterable[int]) -> None:
    """Every rank gets all modules, of which it has trained those in `mine`. Exact: all else is zeros."""
    vectors = np.stack([parameters_to_vector(one.parameters()).detach().numpy() for one in modules])
    vectors[[number for number in range(len(modules)) if number not in mine]] = 0
    comm.Allreduce(MPI.IN_PLACE, vectors)
    for vector, one in zip(vectors, modules, strict=True):
        vector_to_parameters(torch.from_numpy(vector), one.parameters())


def data(seed: int) -> tuple[Rows, Rows, Rows]:
    """Training rows of the teacher, those of the student among them, and test rows."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    x = torch.tensor(digits.data[order] / 16, dtype=torch.float32)
    y = torch.tensor(digits.target[order])
    return (x[:900], y[:900]), (x[:LABELS], y[:LABELS]), (x[900:], y[900:])


def accuracy(net: nn.Module, rows: Rows) -> float:
    """In percent."""
    with torch.no_grad():
        return 100 * float((net(rows[0]).argmax(1) == rows[1]).double().mean())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
