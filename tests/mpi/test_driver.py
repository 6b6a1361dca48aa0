"""The MPI driver gives the bits of the in-process driver, on any number of ranks."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from drives import assert_as_in_process, drive, processes
from mpi4py import MPI
from network_fakes import World, digests, fake, from_edges, topology

from mpidcl.errors import DeadlockError, FrameError
from mpidcl.network.frames import frame, layout
from mpidcl.network.frames.layout import INLINE_BYTES
from mpidcl.network.frames.message import Message
from mpidcl.network.mpi import meetings as mpi
from mpidcl.network.mpi import pending as mpi_pending
from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.mpi.tags import link_tags
from mpidcl.network.requests import Meet, Outgoing
from mpidcl.network.schedule.timetable import Rhythm

COMM = MPI.COMM_WORLD
RULES = [Rhythm("after", 1, 0, "all"), Rhythm("task start", 1, 0, "all"), Rhythm("before", 2, 0, "all")]


# --- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("per_rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["ring", "complete", "star", "tree", "erdos-renyi"])
def test_topologies(name, per_rank):
    agents = per_rank * COMM.size
    ticks = [[1 + n % 3, 2] for n in range(agents)]
    assert_as_in_process(World(topology(name, agents), ticks, RULES, [fake(), fake(legs=2), fake(legs=3)]))


@pytest.mark.parametrize("size", [1, 100, INLINE_BYTES // 4, INLINE_BYTES // 4 + 1, 100_000, 1_000_000])
def test_sizes(size):
    agents = COMM.size + 1
    world = World(topology("ring", agents), [[2]] * agents, makes=[fake(legs=2, size=size)], size=64)
    assert_as_in_process(world)


def test_agents_with_tasks_of_different_lengths_and_numbers():
    agents = 2 * COMM.size
    ticks = [[[3], [2, 2], [0, 0, 5], [1, 4, 1], []][n % 5] for n in range(agents)]
    assert_as_in_process(World(topology("ring", agents), ticks, RULES, [fake(), fake(legs=2), fake()]))


@pytest.mark.parametrize("rank_of", ["spread", "one rank", "backwards"])
def test_three_agents_that_would_wait_in_a_circle_link_by_link(rank_of):
    ranks = {
        "spread": [n % COMM.size for n in range(3)],
        "one rank": [COMM.size - 1] * 3,
        "backwards": [(2 - n) % COMM.size for n in range(3)],
    }
    world = World(topology("ring", 3), [[2], [3], [5]], makes=[fake(legs=2, size=9000)])
    assert_as_in_process(world, ranks[rank_of])


def test_one_way_links_and_classes():
    agents = max(3, COMM.size)
    rules = [{"class": "down", "from": [0]}]
    network = topology("complete", agents, link=rules)
    world = World(network, [[2]] * agents, [Rhythm("after", 1, 0, "down"), RULES[1]], [fake(), fake(legs=2)])
    assert_as_in_process(world)
    chain = from_edges(agents, [(n, n + 1) for n in range(agents - 1)])
    assert_as_in_process(World(chain, [[1 + n] for n in range(agents)], makes=[fake(size=20_000)]))


def test_loss_budget_and_checksum_all():
    agents = COMM.size + 1
    network = topology("ring", agents, budget=200_000, conditions={"loss": 0.4})
    world = World(network, [[4]] * agents, makes=[fake(legs=2, size=10_000)])
    assert_as_in_process(world, checksum_all=True)
    assert drive(world) == drive(world, checksum_all=True)


def test_large_arrays_in_pieces(monkeypatch):
    """The path of arrays above 2 GiB, with pieces of 1000 bytes."""
    monkeypatch.setattr(mpi_pending, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(layout, "INLINE_BYTES", 16)
    agents = COMM.size + 1
    for size in (249, 250, 251, 5000, 12_345):
        world = World(topology("complete", agents), [[2]] * agents, makes=[fake(legs=2, size=size)])
        assert_as_in_process(world)
    layout._known.clear()


def test_the_rank_of_an_agent_changes_nothing():
    agents = 2 * COMM.size
    world = World(topology("random", agents), [[2]] * agents, makes=[fake(legs=2)])
    want = drive(world)
    assert drive(world, [n % COMM.size for n in range(agents)]) == want
    assert drive(world, [0] * agents) == want


def test_slow_ranks_are_waited_for():
    world = World(topology("ring", COMM.size + 1), [[2]] * (COMM.size + 1))
    want = digests(world.in_process())
    time.sleep(0.05 * COMM.rank)
    assert drive(world) == want


def test_stopping_at_a_cut_needs_no_last_meeting():
    agents = COMM.size
    world = World(topology("ring", agents), [[2, 2]] * agents, until=Fraction(3, 2))
    assert_as_in_process(world)


# --- buffers -------------------------------------------------------------------------------------


def test_receive_buffers_are_reused():
    """From the second meeting on nothing is allocated, and arrays lie where the first ones lay."""
    agents = max(2, COMM.size)
    network = topology("ring", agents)
    rank_of = processes(agents).rank_of(agents)
    driver = MpiDriver(COMM, network, rank_of)
    places: list[set[int]] = []

    def life(me):
        for number in range(4):
            array = np.full(20_000, float(me))
            out = tuple(
                Outgoing(link, number, ((0, Message("x", {}, {"a": array})),))
                for link in network.outgoing(me).values()
            )
            reply = yield Meet(
                f"meeting {number}", 0, out, tuple((k, number) for k in network.incoming(me).values())
            )
            arrays = [entries[0][1].arrays["a"] for entries in reply]
            assert [a[0] for a in arrays] == list(network.incoming(me))
            remote = [a for a, s in zip(arrays, network.incoming(me), strict=True) if rank_of[s] != COMM.rank]
            places.append({a.__array_interface__["data"][0] for a in remote})

    driver.drive({a: life(a) for a in range(agents) if rank_of[a] == COMM.rank})
    each = len(places) // 4
    if each == 1:  # one agent on this rank
        assert all(place == places[0] for place in places)
    remote = sum(rank_of[k.source] != rank_of[k.target] == COMM.rank for k in network.links)
    assert len(driver.meetings._buffers) == 2 * remote
    driver.close()


# --- what goes wrong -----------------------------------------------------------------------------


def pair() -> tuple:
    """Two agents on the first and the last rank, and who of them is here."""
    network = from_edges(2, [(0, 1), (1, 0)])
    rank_of = [0, COMM.size - 1]
    return network, rank_of, [a for a in (0, 1) if rank_of[a] == COMM.rank]


def together() -> None:
    """All ranks, by polling: nobody is left in a call that another rank's failure would never end."""
    request, limit = COMM.Ibarrier(), time.monotonic() + 30
    while not request.Test():
        assert time.monotonic() < limit, "another rank did not come"
        time.sleep(0.001)


def test_the_deadline_says_who_waits():
    network, rank_of, mine = pair()
    hosts = [f"host{rank}" for rank in range(COMM.size)]
    driver = MpiDriver(COMM, network, rank_of, deadline=0.3, hosts=hosts)

    def waits(me, other):
        out = (Outgoing(network.outgoing(me)[other], 0, ((0, Message("x", {"n": 1}, {"a": np.zeros(3)})),)),)
        yield Meet(
            "time 2.5 (after)", 0, out, ((network.incoming(me)[other], 0), (network.incoming(me)[other], 1))
        )

    if COMM.rank == 0:
        lives = {0: waits(0, 1)}
        with pytest.raises(DeadlockError) as error:
            driver.drive(lives)
        text = str(error.value)
        assert "agent 0 at time 2.5 (after), leg 0: waits for a frame on link 1 -> 0" in text
        if COMM.size > 1:
            assert "nothing came for 0.3 seconds ([network] deadline)" in text
            assert f"They wait for rank {COMM.size - 1} on host{COMM.size - 1}.\nA node that is lost" in text
        else:
            assert "nothing can arrive any more" in text
    together()
    driver.close()


def test_agents_of_one_rank_that_wait_for_each_other_are_found_at_once():
    network = from_edges(2, [(0, 1), (1, 0)])
    driver = MpiDriver(COMM, network, [0, 0], deadline=1000)

    def waits(me):
        yield Meet("time 1 (after)", 0, (), ((network.incoming(me)[1 - me], 0),))

    if COMM.rank == 0:
        with pytest.raises(DeadlockError) as error:
            driver.drive({0: waits(0), 1: waits(1)})
        assert str(error.value).splitlines()[1:] == [
            "  agent 0 at time 1 (after), leg 0: waits for a frame on link 1 -> 0",
            "  agent 1 at time 1 (after), leg 0: waits for a frame on link 0 -> 1",
        ]
    together()
    driver.close()


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros(20_000)])
@pytest.mark.parametrize("at", [0, 20, 60, -1])
def test_a_damaged_head_is_found_by_the_receiver(monkeypatch, array, at):
    network, rank_of, mine = pair()
    driver = MpiDriver(COMM, network, rank_of)

    def damaged(*arguments):
        packed = frame.pack(*arguments)
        packed.head[at] ^= 0x10
        return packed._replace(raw=())  # the receiver must not ask for what a damaged head announces

    def sends():
        yield Meet(
            "now", 0, (Outgoing(network.outgoing(0)[1], 0, ((0, Message("x", {}, {"a": array})),)),), ()
        )

    def hears():
        yield Meet("now", 0, (), ((network.outgoing(0)[1], 0),))

    monkeypatch.setattr(mpi, "pack", damaged)
    lives = {a: (sends, hears)[a]() for a in mine}
    if 1 in mine:
        with pytest.raises(FrameError, match="link 0 -> 1, frame 0, leg 0"):
            driver.drive(lives)
    elif mine:
        monkeypatch.setattr(driver.control, "finish", lambda *_: None)
        driver.drive(lives)
    together()
    driver.close()


@pytest.mark.parametrize("checksum_all", [False, True])
def test_a_damaged_large_array_is_found_with_checksum_all(monkeypatch, checksum_all):
    network, rank_of, mine = pair()
    driver = MpiDriver(COMM, network, rank_of, checksum_all)
    array = np.zeros(20_000)

    def damaged(*arguments):
        packed = frame.pack(*arguments)
        raw = packed.raw[0].copy()
        raw[12_345] ^= 1
        return packed._replace(raw=(raw,))

    def sends():
        yield Meet(
            "now", 0, (Outgoing(network.outgoing(0)[1], 0, ((0, Message("x", {}, {"a": array})),)),), ()
        )

    def hears():
        yield Meet("now", 0, (), ((network.outgoing(0)[1], 0),))
        return "heard"

    monkeypatch.setattr(mpi, "pack", damaged)
    monkeypatch.setattr(driver.control, "finish", lambda *_: None)
    lives = {a: (sends, hears)[a]() for a in mine}
    if 1 in mine and checksum_all:
        with pytest.raises(FrameError, match="checksum of large array 0"):
            driver.drive(lives)
    elif mine:
        assert driver.drive(lives).get(1, "heard") == "heard"
    together()
    driver.close()


def test_an_agent_that_fails_ends_the_drive():
    network, rank_of, mine = pair()
    driver = MpiDriver(COMM, network, rank_of)

    def fails():
        yield Meet("now", 0, (), ())
        raise ZeroDivisionError("in the learner")

    with pytest.raises(ZeroDivisionError, match="in the learner") as error:
        driver.drive({COMM.rank: fails()})
    assert error.value.__notes__ == [f"This happened in agent {COMM.rank}."]
    together()
    driver.close()


# --- tags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_tags_are_unique_between_two_ranks(ranks):
    network = topology("complete", 8)
    rank_of = [n * ranks // 8 for n in range(8)]
    tags = link_tags(network, rank_of, None)
    used = [
        (rank_of[k.source], rank_of[k.target], tag)
        for k in network.links
        for tag in (tags[k.index], tags[k.index] + 1)
    ]
    assert len(used) == len(set(used)) == 2 * len(network.links)
    if ranks == 8:
        assert set(tags) == {0}


def test_too_few_tags_are_an_error():
    network = topology("complete", 8)
    assert link_tags(network, [0] * 8, 111)
    with pytest.raises(FrameError, match="allow tags up to 111. Found 110: use more ranks"):
        link_tags(network, [0] * 8, 110)


# --- notes to rank 0 -----------------------------------------------------------------------------


def test_budget_of_a_link_is_enforced_by_the_receiver():
    network, rank_of, mine = pair()
    driver = MpiDriver(COMM, network, rank_of)
    link = network.outgoing(0)[1]
    message = Message("x", {}, {"a": np.zeros(100)})

    def sends():
        yield Meet("now", 0, (Outgoing(link, 0, ((0, message),)),), ())

    def hears():
        yield Meet("now", 0, (), ((replace(link, budget=500), 0),))

    lives = {a: (sends, hears)[a]() for a in mine}
    if 1 in mine:
        with pytest.raises(FrameError, match="at most 500 bytes"):
            driver.drive(lives)
    elif mine:
        driver.control.finish = lambda *_: None
        driver.drive(lives)
    together()
    driver.close()
