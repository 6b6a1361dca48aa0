"""Lives of fake agents over MPI, beside those in one process."""

from __future__ import annotations

from mpi4py import MPI
from network_fakes import World, digests

from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.run.processes import Processes

COMM = MPI.COMM_WORLD


def processes(agents: int) -> Processes:
    return Processes(COMM.rank, COMM.size, COMM)


def drive(world: World, rank_of=None, **keys) -> dict:
    """All agents' records after a life on all ranks; the same on every rank."""
    agents = world.network.agents
    rank_of = processes(agents).rank_of(agents) if rank_of is None else rank_of
    driver = MpiDriver(COMM, world.network, rank_of, **keys)
    mine = [agent for agent in range(agents) if rank_of[agent] == COMM.rank]
    records = driver.drive({n: agent.live() for n, agent in world.agents(mine).items()})
    driver.close()
    assert sorted(records) == mine
    return {n: d for part in COMM.allgather(digests(records)) for n, d in part.items()}


def assert_as_in_process(world: World, rank_of=None, **keys) -> None:
    assert drive(world, rank_of, **keys) == digests(world.in_process())
