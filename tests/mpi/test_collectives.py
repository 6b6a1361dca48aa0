"""The few collective calls of the start-up."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from mpi4py import MPI

from mpidcl.network.mpi.collectives import allgather_text, broadcast_text
from mpidcl.run.processes import Processes

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
    assert world.machines == [0] * COMM.size and world.beside() == list(
        range(COMM.size)
    )  # tests: one machine
    assert world.local_rank == COMM.rank
    assert world.library()
    assert "\n" not in world.library()


def test_a_kernel_is_compiled_by_one_rank_of_a_node(mpi_tmp_path):
    node = COMM.Split_type(MPI.COMM_TYPE_SHARED)
    # A process of its own per rank: this one has compiled before.
    environment = os.environ | {"NUMBA_CACHE_DIR": str(mpi_tmp_path / "kernels")}
    program = (
        "from mpidcl_kernels import step; from mpidcl_kernels.base import cache\n"
        "step.warm(); print(*cache.counts())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    everybody = [text.split() for text in allgather_text(COMM, done.stdout)]
    compiled = sum(int(first) for first, _ in everybody)
    loaded = sum(int(second) for _, second in everybody)
    assert compiled > 0
    if node.size == COMM.size:
        assert compiled + loaded == compiled * COMM.size
    node.Free()
