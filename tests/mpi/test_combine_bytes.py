"""What a rank says that it sent for combining: the formula, and what was handed to MPI."""

from __future__ import annotations

import numpy as np
import pytest
from combine_fakes import BLOCK, FACTS, life
from mpi4py import MPI
from network_fakes import from_edges

from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.mpi.heads import Head
from mpidcl.network.requests import Compare, Row
from mpidcl.network.together.blocks import column_share
from mpidcl.network.together.cost import combine_bytes, compare_bytes

COMM = MPI.COMM_WORLD
RANKS = COMM.size
HEAD_BYTES = 8 * len(Head._fields)


def sent(floats: int, steps: int = 2) -> list[tuple[int, int]]:
    """(bytes, messages) that each rank sent per step, one gradient on each."""
    driver = MpiDriver(COMM, from_edges(RANKS, []), range(RANKS))
    driver.drive({COMM.rank: life(COMM.rank, list(range(RANKS)), floats, steps)})
    together = driver.together
    driver.close()
    return COMM.allgather((together.sent_bytes // steps, together.messages // steps))


@pytest.mark.parametrize("blocks", [1, RANKS, 4 * RANKS + 1])
def test_slices_grams_and_direction_are_counted_to_the_byte(blocks, monkeypatch):
    monkeypatch.setattr("mpidcl.network.together.blocks.WHOLE_BYTES", 0)
    floats = blocks * BLOCK - 5
    for rank, (size, messages) in enumerate(sent(floats)):
        columns = column_share(floats, RANKS, rank)
        own = columns.stop - columns.start
        slices, direction = 4 * (floats - own), 4 * own * (RANKS - 1)
        grams = 8 * RANKS**2 * -(-own // BLOCK) * (RANKS - 1)
        rest = (2 * HEAD_BYTES + 4 * FACTS) * (RANKS - 1)
        assert size == slices + direction + grams + rest
        foretold = compare_bytes(floats, RANKS, rank, RANKS, 1, FACTS) + combine_bytes(
            floats, RANKS, rank, RANKS
        )
        assert size == foretold + 2 * HEAD_BYTES * (RANKS - 1)
        assert messages <= 6 * (RANKS - 1)


def test_without_a_gram_matrix_only_rows_and_facts_travel(monkeypatch):
    monkeypatch.setattr("mpidcl.network.together.blocks.WHOLE_BYTES", 0)
    floats, driver = 3 * BLOCK + 5, MpiDriver(COMM, from_edges(RANKS, []), range(RANKS))
    row = Row(COMM.rank, np.ones(floats, np.float32), np.ones(FACTS, np.float32))

    def compares():
        compared = yield Compare("now", 0, tuple(range(RANKS)), (row,), gram=False)
        assert compared.gram.shape == (0, 0)

    driver.drive({COMM.rank: compares()})
    foretold = compare_bytes(floats, RANKS, COMM.rank, RANKS, 1, FACTS, gram=False)
    assert driver.together.sent_bytes == foretold + HEAD_BYTES * (RANKS - 1)
    driver.close()


def test_it_is_the_traffic_of_a_ring_allreduce(monkeypatch):
    monkeypatch.setattr("mpidcl.network.together.blocks.WHOLE_BYTES", 0)
    floats = 8 * RANKS * BLOCK
    ring = 2 * 4 * floats * (RANKS - 1) / RANKS
    for size, _ in sent(floats, steps=1):
        assert ring <= size <= 1.01 * ring


def test_small_gradients_go_whole_to_every_rank():
    floats = 1000
    for size, messages in sent(floats):
        assert size == (RANKS - 1) * (4 * floats + HEAD_BYTES + 4 * FACTS)
        assert messages == 3 * (RANKS - 1)
        foretold = compare_bytes(floats, RANKS, 0, RANKS, 1, FACTS) + combine_bytes(floats, RANKS, 0, RANKS)
        assert size == foretold + HEAD_BYTES * (RANKS - 1)


def test_an_agent_of_the_same_rank_costs_nothing():
    driver = MpiDriver(COMM, from_edges(2 * RANKS, []), [n // 2 for n in range(2 * RANKS)])
    owners = list(range(2 * RANKS))
    driver.drive({n: life(n, owners, 1000) for n in (2 * COMM.rank, 2 * COMM.rank + 1)})
    assert driver.together.sent_bytes == (RANKS - 1) * (2 * 4 * (1000 + FACTS) + HEAD_BYTES)
    driver.close()
