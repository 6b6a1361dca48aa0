"""Rank 0 hears of every checkpoint in time, and saving keeps nobody from anything."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from mpi4py import MPI
from network_fakes import from_edges

from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.requests import Meet, Outgoing, Saved

COMM = MPI.COMM_WORLD


def test_every_file_of_a_checkpoint_is_told_to_rank_0():
    heard: list[Saved] = []
    network = from_edges(2 * COMM.size, [])
    rank_of = [n // 2 for n in range(2 * COMM.size)]
    driver = MpiDriver(COMM, network, rank_of, on_saved=heard.append)

    def life(me):
        for number in range(3):
            reply = yield Saved(me, Fraction(number, 3), 2**40 + me, bytes([me] * 32), COMM.rank)
            assert reply == []

    driver.drive({n: life(n) for n in (2 * COMM.rank, 2 * COMM.rank + 1)})
    driver.close()
    want = [
        Saved(a, Fraction(n, 3), 2**40 + a, bytes([a] * 32), a // 2)
        for a in range(2 * COMM.size)
        for n in range(3)
    ]
    assert sorted(heard, key=lambda s: (s.cut, s.time)) == (want if COMM.rank == 0 else [])
    by_agent = [s.time for s in heard if s.cut == 2 * COMM.size - 1]
    assert by_agent == sorted(by_agent)


def test_rank_0_hears_of_checkpoints_while_it_never_waits():
    """Rank 0 is the slowest and meets nobody: it must not learn at the very end what was saved long ago."""
    heard: list[Saved] = []
    driver = MpiDriver(COMM, from_edges(COMM.size, []), list(range(COMM.size)), on_saved=heard.append)

    def life(me):
        yield Saved(me, Fraction(1), 1, b"")
        if me == 0:
            limit = time.monotonic() + 30
            while len(heard) < COMM.size:
                assert time.monotonic() < limit
                time.sleep(0.01)
                yield Saved(0, Fraction(2), 1, b"")  # its own next checkpoint
                heard[:] = [saved for saved in heard if saved.time == 1]

    driver.drive({COMM.rank: life(COMM.rank)})
    driver.close()


def test_nobody_leaves_before_rank_0_knows_that_all_are_done():
    driver = MpiDriver(COMM, from_edges(COMM.size, []), list(range(COMM.size)))
    time.sleep(0.02 * (COMM.size - COMM.rank))
    began = time.monotonic()
    driver.drive({})
    assert time.monotonic() - began < 30
    driver.close()


def test_an_agent_that_meets_nobody_lets_the_others_of_its_rank_go_on():
    """Else they would learn one after the other, and no checkpoint be complete before the last of them."""
    if COMM.size < 2:
        pytest.skip("should have a frame from another rank")
    network = from_edges(3, [(0, 1)])
    link, heard, limit = network.outgoing(0)[1], [], time.monotonic() + 10

    def sends():
        time.sleep(0.1)
        yield Meet("now", 0, (Outgoing(link, 0, ()),), ())

    def hears():
        heard.append((yield Meet("now", 0, (), ((link, 0),))))

    def saves():
        while not heard and time.monotonic() < limit:
            time.sleep(0.01)
            yield Saved(2, Fraction(1), 1, b"")
        assert heard

    last = COMM.size - 1
    driver = MpiDriver(COMM, network, [0, last, last])
    driver.drive({0: {0: sends()}, last: {1: hears(), 2: saves()}}.get(COMM.rank, {}))
    driver.close()
