"""The few collective calls of the start-up."""

from __future__ import annotations

import time

import pytest
from mpi4py import MPI

from mpidcl.network.collectives import allgather_text, broadcast_text, first_on_node
from mpidcl.processes import Processes

COMM = MPI.COMM_WORLD


# --- texts ---------------------------------------------------------------------------------------


def test_every_rank_holds_every_text():
    mine = "" if COMM.rank % 2 else f"Grüße von {COMM.rank} " * (COMM.rank + 1)
    found = allgather_text(COMM, mine)
    assert found == ["" if r % 2 else f"Grüße von {r} " * (r + 1) for r in range(COMM.size)]


@pytest.mark.parametrize("text", ["", "x", "ein längerer Text\n" * 1000])
def test_rank_0_tells_everybody(text):
    assert broadcast_text(COMM, text if COMM.rank == 0 else None) == text


def test_only_rank_0_makes_what_all_hold():
    made = []
    world = Processes(COMM.rank, COMM.size, COMM)
    assert world.from_rank_0(lambda: made.append(1) or 42, str, int) == 42
    assert bool(made) == (COMM.rank == 0)


def test_the_world():
    world = Processes.world()
    assert (world.rank, world.size, len(world.hosts)) == (COMM.rank, COMM.size, COMM.size)
    assert world.library()
    assert "\n" not in world.library()


def test_one_rank_of_a_node_goes_first(mpi_tmp_path):
    mark = mpi_tmp_path / "warm"
    node = COMM.Split_type(MPI.COMM_TYPE_SHARED)
    cold = []

    def work():
        cold.append(not mark.exists())
        if cold[0]:
            time.sleep(0.05)
            mark.touch()

    first_on_node(COMM, work)
    assert cold == [node.rank == 0]
    node.Free()
