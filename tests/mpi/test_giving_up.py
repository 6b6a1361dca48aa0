"""Whoever gives up leaves to MPI what is under way: nothing is cancelled, nothing of it comes up again."""

from __future__ import annotations

import gc
import time
import weakref

import numpy as np
import pytest
from combine_fakes import gradients, share
from mpi4py import MPI
from network_fakes import World, digests, fake, from_edges, topology

from mpidcl.combining import Combination
from mpidcl.errors import CombineError, FrameError
from mpidcl.network.frames.message import Message
from mpidcl.network.mpi import meetings as mpi
from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.mpi.pending import Countdown, Pending, leave_to_mpi
from mpidcl.network.mpi.wire import Wire
from mpidcl.network.requests import Compare, Meet, Outgoing
from mpidcl.run.processes import Processes

COMM = MPI.COMM_WORLD
LAST = COMM.size - 1

several = pytest.mark.skipif(COMM.size == 1, reason="nothing is on its way between ranks")


def together() -> None:
    """All ranks, by polling: nobody is left in a call that another rank's failure would never end."""
    request, limit = COMM.Ibarrier(), time.monotonic() + 50
    while not request.Test():
        assert time.monotonic() < limit, "another rank did not come"
        time.sleep(0.001)


def give_up_with(floats: int) -> None:
    """All ranks send rows of `floats` floats to all others, but the last has other ones: all give up."""
    driver = MpiDriver(COMM, from_edges(COMM.size, []), range(COMM.size), deadline=50)
    owners = list(range(COMM.size))

    def life(agent):
        matrix = gradients(COMM.size, floats + (agent == LAST))
        yield Compare("step 7", 0, tuple(owners), share(agent, owners, matrix))

    with pytest.raises(CombineError, match="gradients of as many floats"):
        driver.drive({COMM.rank: life(COMM.rank)})
    together()
    driver.close()


@several
@pytest.mark.parametrize("floats", [10, 3000, 1_000_000])
def test_the_next_driver_hears_nothing_of_one_that_gave_up(monkeypatch, floats):
    """A freed communicator would give its number, and the messages that nobody has received, to the next."""
    monkeypatch.setattr("mpidcl.network.together.blocks.WHOLE_BYTES", 0)
    agents = COMM.size + 1
    world = World(topology("complete", agents), [[2]] * agents, makes=[fake(legs=2, size=5000)])
    want = digests(world.in_process())
    rank_of = Processes(COMM.rank, COMM.size, COMM).rank_of(agents)
    for _ in range(3):
        give_up_with(floats)
        driver = MpiDriver(COMM, world.network, rank_of, deadline=50)
        mine = [agent for agent in range(agents) if rank_of[agent] == COMM.rank]
        records = driver.drive({n: agent.live() for n, agent in world.agents(mine).items()})
        driver.close()
        assert digests(records) == {n: want[n] for n in mine}


@several
def test_the_next_combination_hears_nothing_of_one_that_gave_up():
    for floats in (10, 300_000):
        combination = Combination(COMM, "mean", deadline=50)
        with pytest.raises(CombineError, match="gradients of as many floats"):
            combination.direction(np.ones(floats + (COMM.rank == LAST), np.float32))
        together()
        combination.close()
        with Combination(COMM, "mean", deadline=50) as combination:
            found = combination.direction(np.full(floats, COMM.rank, np.float32))
        assert found == pytest.approx(LAST / 2)


@several
def test_a_head_that_is_too_long_names_the_link(monkeypatch):
    network, rank_of = from_edges(2, [(0, 1)]), [0, LAST]
    link = network.outgoing(0)[1]
    driver = MpiDriver(COMM, network, rank_of, deadline=50)
    driver.control.finish = lambda *_: None

    def sends():
        yield Meet("now", 0, (Outgoing(link, 0, ((0, Message("x", {}, {"a": np.zeros(20)})),)),), ())

    def hears():
        yield Meet("now", 0, (), ((link, 0),))

    monkeypatch.setattr(mpi, "HEAD_BYTES", 40)
    if COMM.rank == LAST:
        with pytest.raises(FrameError, match="link 0 -> 1: MPI should carry its frames. It failed: .*trunc"):
            driver.drive({1: hears()})
    else:
        driver.drive({0: sends()} if COMM.rank == 0 else {})
    together()
    driver.close()


@several
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_the_operation_that_failed_is_told_from_those_that_ended_with_it(bad):
    """Messages stay below 4 KiB: Open MPI writes longer ones behind the room that there is."""
    pending, buffers = Pending(), [np.zeros(64, np.uint8) for _ in range(3)]
    comm, came = COMM.Dup(), []
    if COMM.rank == LAST:
        for tag, buffer in enumerate(buffers):
            room = buffer[:8] if tag == bad else buffer
            pending.receiving(
                comm.Irecv(room, 0, tag), came.append, lambda said, tag=tag: FrameError(f"{tag} {said}")
            )
    together()
    if COMM.rank == 0:
        for tag, buffer in enumerate(buffers):
            comm.Isend(buffer, LAST, tag).Wait()
    together()
    if COMM.rank == LAST:
        limit = time.monotonic() + 50
        with pytest.raises(FrameError, match=f"^{bad} .*trunc"):
            while time.monotonic() < limit:
                pending.poll()
        assert set(came) <= {64}
        leave_to_mpi(pending)


@several
def test_what_ranks_that_combine_send_is_named_by_rank():
    pending, room = Pending(), np.zeros(8, np.uint8)
    wire = Wire(COMM, pending)
    if COMM.rank == LAST:
        wire.receive(room, 0, 0, Countdown(lambda: None))
    together()
    if COMM.rank == 0:
        wire.send(np.zeros(64, np.uint8), LAST, 0, Countdown(lambda: None))
    limit, error = time.monotonic() + 50, None
    while pending and error is None and time.monotonic() < limit:
        try:
            pending.poll()
        except CombineError as found:
            error = str(found)
    if COMM.rank == LAST:
        assert error is not None and "between this rank and rank 0. It failed: " in error
    else:
        assert error is None
    leave_to_mpi(pending)
    together()


def test_what_is_left_to_mpi_is_never_freed():
    pending = Pending()
    there = weakref.ref(pending)
    leave_to_mpi(pending)
    del pending
    gc.collect()
    assert there() is not None
