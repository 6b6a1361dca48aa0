"""Comparing and combining over MPI gives the bits of one process, on any number of ranks."""

from __future__ import annotations

import pytest
from combine_fakes import BLOCK, drive, life
from mpi4py import MPI

from mpidcl.network.inprocess import InProcessDriver

COMM = MPI.COMM_WORLD


def assert_as_in_process(lives, agents: int, rank_of=None) -> None:
    want = InProcessDriver().drive({agent: lives(agent) for agent in range(agents)})
    for agent, found in drive(lives, agents, rank_of).items():
        assert found == want[agent]


SIZES = [1, 5, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 17]


@pytest.mark.parametrize("floats", SIZES)
@pytest.mark.parametrize("per_rank", [1, 3])
def test_all_agents_get_the_same_bits_as_in_one_process(floats, per_rank):
    agents = per_rank * COMM.size
    owners = [*range(agents), 0]
    assert_as_in_process(lambda agent: life(agent, owners, floats, steps=3), agents)


@pytest.mark.parametrize("owners", [[0], [1], [1, 1, 1], [3, 0, 3], [2, 3, 0, 1, 2, 3]])
def test_some_agents_have_no_gradient_or_several(owners):
    assert_as_in_process(lambda agent: life(agent, owners, 2 * BLOCK + 3), 4)


def test_the_rank_of_an_agent_changes_nothing():
    owners, agents = [3, 0, 1, 2, 0], 4
    for rank_of in ([n % COMM.size for n in range(4)], [COMM.size - 1 - n % COMM.size for n in range(4)]):
        assert_as_in_process(lambda agent: life(agent, owners, 100_000), agents, rank_of)
