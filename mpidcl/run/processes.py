"""The processes of a job: which agents live where, and the few collective calls of the start-up."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from mpidcl.run.phases import Phases

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

T = TypeVar("T")


@dataclass
class Processes:
    """This process among those of the job. `comm` is its MPI communicator, None when it is alone.

    `hosts` and `machines`: of each rank the name of its machine, and the lowest rank there.
    """

    rank: int = 0
    size: int = 1
    comm: Any = None
    hosts: list[str] = field(default_factory=lambda: [socket.gethostname()])
    machines: list[int] = field(default_factory=lambda: [0])
    phases: Phases = field(default_factory=lambda: Phases("", speaks=False))

    @property
    def local_rank(self) -> int:
        """How many lower ranks are on the same machine."""
        return self.machines[: self.rank].count(self.machines[self.rank])

    def beside(self) -> list[int]:
        """The ranks on this machine."""
        here = self.machines[self.rank]
        return [rank for rank, machine in enumerate(self.machines) if machine == here]

    @classmethod
    def world(cls) -> Processes:
        """All ranks of the MPI job. Collective."""
        from mpidcl.network.mpi.collectives import allgather_text, machines, world

        comm = world()
        return cls(comm.rank, comm.size, comm, allgather_text(comm, socket.gethostname()), machines(comm))

    def library(self) -> str | None:
        """Name and version of the MPI library; None without one."""
        if self.comm is None:
            return None
        from mpidcl.network.mpi.collectives import library

        return library()

    def share(self, agents: int) -> range:
        """The contiguous share of agents that lives in this process."""
        return range(self.rank * agents // self.size, (self.rank + 1) * agents // self.size)

    def rank_of(self, agents: int) -> list[int]:
        """The rank of every agent."""
        ends = [(rank + 1) * agents // self.size for rank in range(self.size)]
        ranks, rank = [], 0
        for agent in range(agents):
            while agent >= ends[rank]:
                rank += 1
            ranks.append(rank)
        return ranks

    def gather_text(self, text: str) -> list[str]:
        """Every process's text, in order of rank. Collective."""
        if self.comm is None:
            return [text]
        from mpidcl.network.mpi.collectives import allgather_text

        return allgather_text(self.comm, text)

    def from_rank_0(self, make: Callable[[], T], pack: Callable[[T], str], unpack: Callable[[str], T]) -> T:
        """What `make` gives on rank 0, on every rank. Collective. An error there ends the job (launch)."""
        if self.comm is None:
            return make()
        from mpidcl.network.mpi.collectives import broadcast_text

        return unpack(broadcast_text(self.comm, pack(make()) if self.rank == 0 else None))

    def warm_up(self, experiment: Experiment) -> None:
        """Compile the kernels of the experiment, or load those that another rank of the node has compiled.

        Each is compiled by one rank alone while the others wait for it. The ranks of a node begin
        with different ones, so that several cores compile at once.
        """
        from mpidcl_kernels.base.warm import warm_up

        names = kernels_of(experiment)
        first = self.local_rank % max(1, len(names))
        warm_up(*names[first:], *names[:first])


def kernels_of(experiment: Experiment) -> list[str]:
    """Modules of kernels that the learner, its parts and the exchanges of an experiment say they call."""

    return sorted({name for part, _ in experiment.parts() for name in part.kernels})


def alone() -> Processes:
    """A job of this one process, without MPI."""
    return Processes()


def prepare_libraries(experiment: Experiment, local_rank: int) -> None:
    """Compute with `[learning] threads` threads (kernels, BLAS, torch), on the GPU of this rank of the node.

    Called before the first array, so that both drivers give the same bits. torch is set only where the
    experiment has imported it; several ranks share a GPU when there are fewer GPUs than ranks.
    """
    import threadpoolctl

    from mpidcl_kernels.base.threads import set_threads

    list(experiment.parts())  # imports what the experiment needs, and only that
    set_threads(experiment.learning.threads)
    threadpoolctl.threadpool_limits(experiment.learning.threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(experiment.learning.threads)
        if experiment.learning.device != "cpu" and torch.cuda.is_available():
            torch.cuda.set_device(local_rank % torch.cuda.device_count())
