"""Several frames of a link, copies and posts give the bits of one process on any number of ranks."""

from __future__ import annotations

import time

import numpy as np
import pytest
from combine_fakes import drive
from mpi4py import MPI
from network_fakes import from_edges, topology
from request_fakes import talk

from mpidcl.errors import CombineError, DeadlockError, MpidclError, RequestError
from mpidcl.network.frames.message import Message
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.mpi import posts as mpi_posts
from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.requests import Compare, Meet, Outgoing, Post, Take

COMM = MPI.COMM_WORLD
LAST = COMM.size - 1
NONE = np.empty(0, np.int64)


def together() -> None:
    """All ranks, by polling: nobody is left in a call that another rank's failure would never end."""
    request, limit = COMM.Ibarrier(), time.monotonic() + 30
    while not request.Test():
        assert time.monotonic() < limit, "another rank did not come"
        time.sleep(0.001)


@pytest.mark.parametrize("words", [mpi_posts.HEAD_WORDS, 6])
@pytest.mark.parametrize("spread", [False, True])
def test_any_order_of_requests_gives_the_bits_of_one_process(words, spread, monkeypatch):
    """With heads of few words the rest of a post travels on its own."""
    monkeypatch.setattr(mpi_posts, "HEAD_WORDS", words)
    agents = COMM.size + 2
    network = topology("erdos-renyi", agents)
    rank_of = [agent % COMM.size if spread else agent * COMM.size // agents for agent in range(agents)]
    driver = MpiDriver(COMM, network, rank_of, deadline=50)
    mine = [agent for agent in range(agents) if rank_of[agent] == COMM.rank]
    for seed in range(12):
        want = InProcessDriver().drive(talk(network, seed))
        assert driver.drive(talk(network, seed, mine)) == {agent: want[agent] for agent in mine}
    driver.close()


def ring(agents):
    return from_edges(agents, [(a, (a + 1) % agents) for a in range(agents)])


def test_all_send_large_frames_before_anybody_receives():
    """Without copies nobody's `Meet` would end: no large send ends before its receive is posted."""
    agents, floats = max(2, COMM.size), 1_000_000
    network = ring(agents)
    rank_of = [agent * COMM.size // agents for agent in range(agents)]
    driver = MpiDriver(COMM, network, rank_of, deadline=50)

    def life(me):
        after, before = (me + 1) % agents, (me - 1) % agents
        array = np.empty(floats)
        for number in range(3):
            array[:] = 10 * me + number
            out = Outgoing(network.outgoing(me)[after], number, ((0, Message("m", {}, {"a": array})),))
            yield Meet(f"step {number}", 0, (out,), (), copied=True)
            array[:] = -1
        back = network.incoming(me)[before]
        reply = yield Meet("the end", 0, (), tuple((back, number) for number in range(3)))
        return [np.unique(entries[0][1].arrays["a"]).tolist() for entries in reply]

    for _ in range(2):
        found = driver.drive({agent: life(agent) for agent in range(agents) if rank_of[agent] == COMM.rank})
        assert found == {me: [[10.0 * ((me - 1) % agents) + n] for n in range(3)] for me in found}
    used = sum(len(free) for free in driver.meetings._copies._free.values())
    assert used == (3 if COMM.size > 1 else 0) * len(found), "buffers are used again"
    driver.close()


def test_a_copy_that_nobody_receives_is_found_at_the_end():
    network = from_edges(2, [(0, 1)])
    driver = MpiDriver(COMM, network, [0, LAST], deadline=0.3)

    def sends():
        message = Message("m", {}, {"a": np.zeros(1_000_000)})
        yield Meet("now", 0, (Outgoing(network.outgoing(0)[1], 0, ((0, message),)),), (), copied=True)

    if COMM.rank == 0 and COMM.size > 1:
        with pytest.raises(DeadlockError, match="received before the run ends. Not so on link 0 -> 1"):
            driver.drive({0: sends()})
    else:
        driver.drive({0: sends()} if COMM.rank == 0 else {})
    together()
    driver.close()


def test_a_post_travels_while_agents_learn():
    """Nobody waits between `Post` and `Take`, not even for agents of its own rank."""
    agents = 2 * COMM.size

    def life(me):
        found, before = [], {}
        for number in range(5):
            peers = [a for a in range(agents) if a != me and (a + number) % 3]
            into = {a: np.empty(1000 * a, np.float32) for a in range(agents) if a != me and (me + number) % 3}
            out = {a: np.full(1000 * me, me + number, np.float32) for a in peers}
            yield Post(f"step {number}", number, np.array([me, number]), out, into)
            if number:
                told = (yield Take(f"step {number}", number - 1)).told
                assert told.tolist() == [[a, number - 1] for a in range(agents)]
                found.append([a for a, array in before.items() if not (array == a + number - 1).all()])
            before = into
        yield Take("the end", 4)
        return found

    assert all(found == [[]] * 4 for found in drive(life, agents).values())


def test_nothing_is_sent_where_nothing_is_wanted_but_what_is_told():
    driver = MpiDriver(COMM, from_edges(COMM.size, []), range(COMM.size))

    def life(me):
        yield Post("now", 0, np.array([me]), {}, {})
        return (yield Take("now", 0)).told.ravel().tolist()

    assert driver.drive({COMM.rank: life(COMM.rank)}) == {COMM.rank: list(range(COMM.size))}
    wire = driver.posts._wire
    assert (wire.messages, wire.sent_bytes) == (LAST, LAST * 8 * mpi_posts.HEAD_WORDS)
    driver.close()


several = pytest.mark.skipif(COMM.size == 1, reason="ranks that differ")


def failure(life, error: type[MpidclError]) -> str:
    """What the last rank says: that of agent LAST; the others may fail as well, or wait in vain."""
    deadline = 20.0 if COMM.rank == LAST else 0.2
    driver = MpiDriver(COMM, from_edges(COMM.size, []), range(COMM.size), deadline=deadline)
    driver.control.finish = lambda *_: None
    said = ""
    try:
        driver.drive({COMM.rank: life(COMM.rank)})
    except (error, DeadlockError) as found:
        said = str(found)
    together()
    if not driver._failed:
        driver._pending.poll()
    driver.close()
    return said if COMM.rank == LAST else ""


def posts(told=lambda me: 1, sent=lambda me: 0, wanted=lambda me: 0, number=lambda me: 0):
    """Agent 0 sends to the last one."""

    def life(me):
        out = {LAST: np.zeros(sent(me), np.uint8)} if me == 0 else {}
        into = {0: np.zeros(wanted(me), np.uint8)} if me == LAST else {}
        yield Post("step 7", number(me), np.zeros(told(me), np.int64), out, into)
        yield Take("step 8", number(me))

    return life


@several
@pytest.mark.parametrize(
    ("life", "said"),
    [
        (posts(told=lambda me: 1 + (me == LAST)), "should tell as many words. Found 2 of agent"),
        (posts(sent=lambda me: 900, wanted=lambda me: 800), "Found 800 in its `into` and 900 in"),
        (
            posts(sent=lambda me: 900_000, wanted=lambda me: 8),
            "Found 8 in its `into` and 900000 in",
        ),
        (posts(wanted=lambda me: 8), "Found 8 in its `into` and 0 in the `out`"),
        (posts(sent=lambda me: 9), "Found 0 in its `into` and 9 in the `out`"),
        (
            posts(number=lambda me: 5 + (me == LAST)),
            "the same numbers in the same order. Found 5 on",
        ),
    ],
)
def test_posts_of_other_ranks_that_do_not_fit(life, said):
    found = failure(life, CombineError)
    assert COMM.rank != LAST or said in found


@several
def test_all_ranks_want_the_gram_matrix_or_none():
    found = failure(lambda me: iter([Compare("step 7", 0, (), (), me == 0)]), CombineError)
    assert COMM.rank != LAST or "there should be a gradient" in found


def test_what_nobody_answers_is_said_by_every_rank():
    driver = MpiDriver(COMM, from_edges(COMM.size, []), range(COMM.size))

    def life():
        yield "a text"

    with pytest.raises(RequestError, match="Post, Pulse, Saved, Take. Found str: a text"):
        driver.drive({COMM.rank: life()})
    together()
    driver.close()


def test_a_deadline_names_what_an_agent_waits_in():
    driver = MpiDriver(COMM, from_edges(COMM.size, []), range(COMM.size), deadline=0.3)

    def life():
        yield Post("step 7", 0, NONE, {}, {})
        yield Take("step 8", 0)

    if COMM.rank == 0 and COMM.size > 1:
        with pytest.raises(DeadlockError, match="agent 0 in Take 0 at step 8: waits for rank"):
            driver.drive({0: life()})
    elif COMM.size == 1:
        driver.drive({0: life()})
    together()
    driver.close()
